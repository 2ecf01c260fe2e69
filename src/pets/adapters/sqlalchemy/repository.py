"""Pets in PostgreSQL or SQLite.

Nearly every call is one statement, which is a transaction of its own.
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.calls import (
    AnySession,
    Call,
    CommandSession,
    Lend,
    Result,
    Session,
    command_session_of,
    run,
    sessions_of,
)
from pets.adapters.sqlalchemy.checks import check_schema
from pets.adapters.sqlalchemy.failures import explained, translated
from pets.adapters.sqlalchemy.listing import COUNTS, counts_of
from pets.adapters.sqlalchemy.statements import (
    Parameters,
    Rows,
    changes_of,
    members_of,
    pets_of,
    pets_of_values,
)
from pets.domain.errors import OutcomeUnknown, StoreUnavailable
from pets.domain.pet import MAX_ID, NewPet, Pet, PetChange
from pets.domain.query import PetQuery
from pets.domain.repository import AddedOnce, Numbered, PetPage
from pets.domain.statistics import Counts

CLEAR_EVERY: Final = 100
"""After how many added keys the expired ones are cleared."""


class SQLAlchemyPetRepository:
    """A `PetRepository` over engines of `pets.adapters.sqlalchemy.engine`.

    `searching` is the engine for searches, exports and loads. They can take long, and are planned
    in another way. Without it they share the engine of the quick calls.

    A call that failed is repeated once if that is safe.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        key_ttl: timedelta = timedelta(days=1),
        searching: AsyncEngine | None = None,
    ) -> None:
        self._searching = searching or engine
        self._key_ttl = key_ttl
        self._keys_since_clearing = CLEAR_EVERY  # Clear on the first call after a start.
        self._lend = sessions_of(engine)
        self._lend_to_search = sessions_of(self._searching)
        self._lend_to_command: Lend[CommandSession] = partial(command_session_of, engine)
        self._statements = self._lend().statements

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        s = self._statements
        new = s.new.of(map(members_of, pets))
        rows = await self._write(lambda session: session.fetch(s.add, new))
        ids = sorted(row["id"] for row in rows)
        return [pet.with_id(id_) for pet, id_ in zip(pets, ids, strict=True)]

    async def add_once(self, sets: Mapping[str, Sequence[NewPet]]) -> Mapping[str, AddedOnce]:
        if not sets:
            return {}
        self._keys_since_clearing += sum(map(len, sets.values()))
        number = 0
        if self._keys_since_clearing >= CLEAR_EVERY:
            # Clear twice as many keys as were added, so that expired ones become fewer.
            number = 2 * self._keys_since_clearing
            self._keys_since_clearing = 0

        async def add(session: Session) -> Mapping[str, AddedOnce]:
            if number:
                oldest: Parameters = {"key_ttl": self._key_ttl, "number": number}
                await session.fetch(session.statements.clear_keys, oldest)
            return await session.add_once(sets, self._key_ttl)

        return await self._write(add, is_repeatable=True)

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        s = self._statements
        wanted = s.ids.of(_possible(ids))
        return _by_id(await self._read(lambda session: session.fetch(s.find, wanted), self._lend))

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        listings: list[PetQuery] = []
        searches: list[PetQuery] = []
        for query in dict.fromkeys(queries):
            (searches if query.is_search else listings).append(query)
        pages: dict[PetQuery, PetPage] = {}
        if listings:
            pages.update(await self._read(lambda session: session.pages(listings), self._lend))
        for query in searches:
            pages[query] = await self._search(query)
        return [pages[query] for query in queries]

    async def _search(self, query: PetQuery) -> PetPage:
        with explained(query):
            return await self._read(lambda session: session.search(query), self._lend_to_search)

    async def counts(self) -> Counts:
        return counts_of(await self._read(lambda session: session.fetch(COUNTS), self._lend))

    async def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        with explained(query):
            async with (
                translated,
                command_session_of(self._searching) as session,
                aclosing(session.export(query)) as chunks,
            ):
                async for rows in chunks:
                    yield pets_of_values(rows)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        s = self._statements
        new = s.changes.of((id_, *changes_of(changes[id_])) for (id_,) in _possible(changes))
        sets = new | self._expected(expected)
        return _by_id(await self._write(lambda session: session.fetch(s.change, sets)))

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        s = self._statements
        sets = s.ids.of(_possible(ids)) | self._expected(expected)
        rows = await self._write(lambda session: session.fetch(s.remove, sets))
        return {row["id"] for row in rows}

    def _expected(self, expected: Mapping[int, Pet] | None) -> Parameters:
        rows = [(id_, *members_of(pet)) for id_, pet in expected.items()] if expected else ()
        return self._statements.expected.of(rows)

    async def load(
        self,
        pets: AsyncIterable[Numbered],
        *,
        skip_taken: bool,
        last_id: Callable[[], int] = int,
    ) -> Sequence[int]:
        async with translated, command_session_of(self._searching) as session:
            return await session.load(pets, skip_taken=skip_taken, last_id=last_id)

    async def last_id(self) -> int | None:
        given, highest = await self._read(lambda session: session.ids(), self._lend_to_command)
        return None if given is None else max(given, highest)

    async def check(self) -> None:
        await self._read(check_schema, self._lend_to_command)

    async def _read(self, call: Call[AnySession, Result], lend: Lend[AnySession]) -> Result:
        try:
            return await run(call, lend, is_repeatable=True)
        except OutcomeUnknown as error:
            # A call that only reads has changed nothing.
            raise StoreUnavailable(str(error)) from error.__cause__

    async def _write(self, call: Call[Session, Result], *, is_repeatable: bool = False) -> Result:
        return await run(call, self._lend, is_repeatable=is_repeatable)


def _by_id(rows: Rows) -> Mapping[int, Pet]:
    return {pet.id: pet for pet in pets_of(rows)}


def _possible(ids: Iterable[int]) -> list[tuple[int]]:
    """Return rows of ids, without integers that do not fit the type of the column."""
    return [(id_,) for id_ in ids if 1 <= id_ <= MAX_ID]
