"""`pets` with a planted fault: `python -m tests.faults.mutants serve`.

The variable `PLANTED_FAULT` names the function below that plants it. Workers are new processes,
which import this module as their parent did, so they have the fault too.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from itertools import count
from typing import Any, Final, ParamSpec, TypeVar

from pets.adapters.batching import BatchingPetRepository
from pets.adapters.sqlalchemy import postgresql_session, sqlite_session
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.cli.main import main
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.repository import AddedOnce

DELAY_SECONDS: Final = 0.1
"""How long a database that is not on this machine takes to answer."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Call = Coroutine[Any, Any, Result]  # Any: nothing is sent into a coroutine.
Expected = Mapping[int, Pet] | None


def reader_joins_the_batch_under_way() -> None:
    find = BatchingPetRepository.find
    under_way: dict[frozenset[int], asyncio.Task[Mapping[int, Pet]]] = {}
    numbers = count()

    async def find_slowly(self: BatchingPetRepository, ids: frozenset[int]) -> Mapping[int, Pet]:
        pets = await find(self, ids)
        await asyncio.sleep(3 * DELAY_SECONDS)
        del under_way[ids]
        return pets

    async def join(self: BatchingPetRepository, ids: Collection[int]) -> Mapping[int, Pet]:
        wanted = frozenset(ids)
        if next(numbers) % 2:
            # A change looks at its pet first. If all looks joined, no change would be missed.
            return await find(self, wanted)
        if wanted not in under_way:
            under_way[wanted] = asyncio.create_task(find_slowly(self, wanted))
        return await under_way[wanted]

    BatchingPetRepository.find = join  # type: ignore[method-assign]  # This is the fault.


def change_is_acknowledged_before_it_commits() -> None:
    change = SQLAlchemyPetRepository.change
    tasks = set()

    async def acknowledge(
        self: SQLAlchemyPetRepository,
        changes: Mapping[int, PetChange],
        *,
        expected: Expected = None,
    ) -> Mapping[int, Pet]:
        changed = {}
        for id_, pet in (await self.find(changes)).items():
            if (expected or {}).get(id_, pet) == pet:
                changed[id_] = pet.changed(changes[id_])

        async def commit() -> None:
            await asyncio.sleep(DELAY_SECONDS)
            await change(self, changes, expected=expected)

        task = asyncio.create_task(commit())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return changed

    SQLAlchemyPetRepository.change = acknowledge  # type: ignore[method-assign]  # the fault


def commit_is_acknowledged_before_it_is_safe() -> None:
    for session in (postgresql_session.QUICK_SESSION, postgresql_session.SEARCH_SESSION):
        session["synchronous_commit"] = "off"


def sqlite_does_not_wait_for_its_disk() -> None:
    def write_unsafely(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    sqlite_session.write_safely = write_unsafely


def write_is_retried_after_a_lost_connection() -> None:
    repository = SQLAlchemyPetRepository
    repository.add = _twice(repository.add)  # type: ignore[method-assign]  # the fault
    repository.change = _twice(repository.change)  # type: ignore[method-assign]  # the fault
    repository.remove = _twice(repository.remove)  # type: ignore[method-assign]  # the fault


def _twice(write: Callable[Parameters, Call[Result]]) -> Callable[Parameters, Call[Result]]:
    async def retry(*values: Parameters.args, **named: Parameters.kwargs) -> Result:
        try:
            return await write(*values, **named)
        except StoreUnavailable:
            return await write(*values, **named)

    return retry


def key_is_forgotten() -> None:
    async def forget(
        self: SQLAlchemyPetRepository, sets: Mapping[str, Sequence[NewPet]]
    ) -> Mapping[str, AddedOnce]:
        return {key: AddedOnce(await self.add(new), is_replay=False) for key, new in sets.items()}

    SQLAlchemyPetRepository.add_once = forget  # type: ignore[method-assign]  # the fault


def expected_is_not_compared() -> None:
    change = SQLAlchemyPetRepository.change

    async def overwrite(
        self: SQLAlchemyPetRepository,
        changes: Mapping[int, PetChange],
        *,
        expected: Expected = None,  # noqa: ARG001  # This is the fault.
    ) -> Mapping[int, Pet]:
        return await change(self, changes)

    SQLAlchemyPetRepository.change = overwrite  # type: ignore[method-assign]  # the fault


FAULTS: Final[Sequence[Callable[[], None]]] = [
    reader_joins_the_batch_under_way,
    change_is_acknowledged_before_it_commits,
    commit_is_acknowledged_before_it_is_safe,
    sqlite_does_not_wait_for_its_disk,
    write_is_retried_after_a_lost_connection,
    key_is_forgotten,
    expected_is_not_compared,
]

if __name__ in {"__main__", "__mp_main__"}:
    for plant in FAULTS:
        if plant.__name__ == os.environ["PLANTED_FAULT"]:
            plant()

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
