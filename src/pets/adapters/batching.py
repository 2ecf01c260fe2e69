"""A repository that turns many concurrent calls into few calls of another repository."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from dataclasses import replace
from itertools import chain, islice
from typing import Final, TypeVar

from pets.adapters.lanes import Lane
from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.query import PetQuery
from pets.domain.repository import AddedOnce, Numbered, PetPage, PetRepository
from pets.domain.statistics import Counts

MAX_PETS: Final = 256
MAX_IDS: Final = 1_000
MAX_ROWS: Final = 3_000
"""How much work the calls of one batch have together. A single call may have more."""

ROWS_OF_A_QUERY: Final = 20
"""A query takes about as long as so many rows, however few it asks for."""

ROWS_OF_IDS: Final = 100
"""A query with ids takes about as long as so many rows more, and as many as it has ids."""

MAX_SHORT_LIMIT: Final = 100
"""Pages of up to so many pets do not wait for longer ones."""

MAX_SEARCHES: Final = 5
"""How many searches run at once. Each may read the whole table."""

MAX_ALONE: Final = 64
"""How many calls that cannot be shared may wait or run before no more writes should come."""

Result = TypeVar("Result")
_KeyedSets = Mapping[str, Sequence[NewPet]]
_Changes = tuple[Mapping[int, PetChange], Mapping[int, Pet]]
_Removal = tuple[Collection[int], Mapping[int, Pet]]


class BatchingPetRepository:
    """Callers of one event loop share the calls of the inner repository while it is busy.

    - Callers that ask for the same page get the very same object.
    - Different pages are asked for by one call. Pages of many pets, and searches, which may read
      the whole table, have calls of their own, so that no others wait for them.
    - Callers that ask for the counts share them.
    - The pets of several callers are added by one call, and each caller gets its own back.
    - The ids of several callers are found, or removed, by one call. If several callers remove one
      id, the first of them gets it back.
    - Different pets are changed by one call. A call for a pet that another call is changing is
      not shared, and neither is a removal with `expected`. Of each of these two, one runs at once.

    A batch takes at most `seconds`. After that its callers learn that the outcome is unknown.

    Any write can wait for a lock of another process. So at most 6 writes run at once, which is
    less than the connections of the inner repository, and reads have the others.

    Any number of callers may wait. The methods `has_room…` say whether more of them should come.
    """

    def __init__(self, inner: PetRepository, seconds: float | None = None) -> None:
        self._inner = inner
        self._alone = 0
        self._adding = Lane(self._add, len, MAX_PETS, seconds=seconds)
        self._adding_once = Lane(self._add_once, _pets_in, MAX_PETS, seconds=seconds)
        self._finding = Lane(self._find, len, MAX_IDS, seconds=seconds, shares=True)
        self._removing = Lane(self._remove, len, MAX_IDS, seconds=seconds)
        self._changing = Lane(self._change, _ids, MAX_PETS, seconds=seconds)
        self._being_changed: set[int] = set()
        self._changing_alone = Lane(self._change, _one, 1, seconds=seconds)
        self._removing_alone = Lane(self._remove_expected, _one, 1, seconds=seconds)
        self._short = Lane(inner.pages, _rows, MAX_ROWS, seconds=seconds, shares=True)
        self._long = Lane(inner.pages, _rows, MAX_ROWS, seconds=seconds, shares=True)
        self._searching = Lane(
            inner.pages, _one, 1, seconds=seconds, width=MAX_SEARCHES, shares=True
        )
        self._counting = Lane(self._counts, _one, 1, seconds=seconds, shares=True)

    def has_room_for_reads(self) -> bool:
        """Whether few enough reads wait for more to come. Reads that are shared count once."""
        return self._short.has_room() and self._finding.has_room()

    def has_room_for_expensive_reads(self) -> bool:
        """The same for pages of many pets, and for searches."""
        return self._long.has_room() and self._searching.has_room()

    def has_room_for_writes(self) -> bool:
        """The same for calls that add, change or remove pets."""
        return (
            self._adding.has_room()
            and self._adding_once.has_room()
            and self._removing.has_room()
            and self._changing.has_room()
            and self._alone < MAX_ALONE
        )

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        return await self._adding.call(pets)

    async def add_once(self, sets: _KeyedSets) -> Mapping[str, AddedOnce]:
        return await self._adding_once.call(sets)

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        return await self._finding.call(frozenset(ids))

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        return [await self._lane_of(query).call(query) for query in queries]

    def _lane_of(self, query: PetQuery) -> Lane[PetQuery, PetPage]:
        if query.is_search:
            return self._searching
        return self._short if query.limit <= MAX_SHORT_LIMIT else self._long

    async def counts(self) -> Counts:
        return await self._counting.call(None)

    def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        return self._inner.export(query)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        if not self._being_changed.isdisjoint(changes):
            return await self._count(self._changing_alone.call((changes, expected or {})))
        self._being_changed.update(changes)
        try:
            return await self._changing.call((changes, expected or {}))
        finally:
            self._being_changed.difference_update(changes)

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        if expected is None:
            return await self._removing.call(frozenset(ids))
        return await self._count(self._removing_alone.call((ids, expected)))

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
        await self._inner.check()

    async def _count(self, call: Awaitable[Result]) -> Result:
        self._alone += 1
        try:
            return await call
        finally:
            self._alone -= 1

    async def _counts(self, calls: Sequence[None]) -> Sequence[Counts]:
        # All calls are equal, so those that wait share one.
        return [await self._inner.counts() for _ in calls]

    async def _add(self, sets: Sequence[Sequence[NewPet]]) -> Sequence[Sequence[Pet]]:
        pets = list(chain.from_iterable(sets))
        added = iter(await self._inner.add(pets))
        return [list(islice(added, len(part))) for part in sets]

    async def _add_once(self, parts: Sequence[_KeyedSets]) -> Sequence[Mapping[str, AddedOnce]]:
        sets: dict[str, Sequence[NewPet]] = {}
        for part in parts:
            for key, pets in part.items():
                # The longest, because of a longer set the store need not return all pets.
                sets[key] = max(sets.get(key, ()), pets, key=len)
        added = dict(await self._inner.add_once(sets))
        answers = []
        for part in parts:
            answers.append({key: added[key] for key in part})
            for key in part:
                added[key] = replace(added[key], is_replay=True)
        return answers

    async def _find(self, sets: Sequence[frozenset[int]]) -> Sequence[Mapping[int, Pet]]:
        pets = await self._inner.find(set().union(*sets))
        return [_chosen(pets, part) for part in sets]

    async def _change(self, sets: Sequence[_Changes]) -> Sequence[Mapping[int, Pet]]:
        changes: dict[int, PetChange] = {}
        expected: dict[int, Pet] = {}
        for part, expected_part in sets:
            changes.update(part)
            expected.update(expected_part)
        changed = await self._inner.change(changes, expected=expected)
        return [_chosen(changed, part) for part, _ in sets]

    async def _remove(self, sets: Sequence[frozenset[int]]) -> Sequence[set[int]]:
        removed = await self._inner.remove(set().union(*sets))
        parts = []
        for ids in sets:
            part = removed.intersection(ids)
            removed -= part
            parts.append(part)
        return parts

    async def _remove_expected(self, removals: Sequence[_Removal]) -> Sequence[set[int]]:
        return [await self._inner.remove(ids, expected=pets) for ids, pets in removals]


def _chosen(pets: Mapping[int, Pet], keys: Collection[int]) -> dict[int, Pet]:
    return {key: pets[key] for key in keys if key in pets}


def _pets_in(sets: _KeyedSets) -> int:
    return sum(map(len, sets.values()))


def _ids(changes: _Changes) -> int:
    return len(changes[0])


def _rows(query: PetQuery) -> int:
    ids = 0 if query.ids is None else ROWS_OF_IDS + len(query.ids)
    return query.limit + ROWS_OF_A_QUERY + ids


def _one(_: object) -> int:
    return 1
