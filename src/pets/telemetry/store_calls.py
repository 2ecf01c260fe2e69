"""The calls of the store, observed for metrics and traces."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager

from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.query import PetQuery
from pets.domain.repository import AddedOnce, Numbered, PetPage, PetRepository
from pets.domain.statistics import Counts

ObserveCall = Callable[[str, int], AbstractContextManager[None]]
"""Takes the name of a call and its number of pets, ids or queries, and surrounds the call."""


class ObservedPetRepository:
    """Passes every call on to the inner repository.

    `export`, `load` and `last_id` are not observed, because they take as long as their
    reader or their file.
    """

    def __init__(self, inner: PetRepository, observe: ObserveCall) -> None:
        self._inner = inner
        self._observe = observe

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        with self._observe("add", len(pets)):
            return await self._inner.add(pets)

    async def add_once(self, sets: Mapping[str, Sequence[NewPet]]) -> Mapping[str, AddedOnce]:
        with self._observe("add_once", sum(map(len, sets.values()))):
            return await self._inner.add_once(sets)

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        with self._observe("find", len(ids)):
            return await self._inner.find(ids)

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        with self._observe("pages", len(queries)):
            return await self._inner.pages(queries)

    async def counts(self) -> Counts:
        with self._observe("counts", 1):
            return await self._inner.counts()

    def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        return self._inner.export(query)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        with self._observe("change", len(changes)):
            return await self._inner.change(changes, expected=expected)

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        with self._observe("remove", len(ids)):
            return await self._inner.remove(ids, expected=expected)

    async def load(
        self,
        pets: AsyncIterable[Numbered],
        *,
        skip_taken: bool,
        last_id: Callable[[], int] = int,
    ) -> Sequence[int]:
        return await self._inner.load(pets, skip_taken=skip_taken, last_id=last_id)

    async def last_id(self) -> int | None:
        return await self._inner.last_id()

    async def check(self) -> None:
        with self._observe("check", 0):
            await self._inner.check()
