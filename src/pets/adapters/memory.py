"""Pets in the memory of one process. They are lost when it ends, and no other process sees them."""

from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from datetime import timedelta
from itertools import islice
from time import monotonic
from typing import Any, Final

from pets.domain.errors import NoIdsLeft
from pets.domain.pet import MAX_ID, NewPet, Pet, PetChange
from pets.domain.query import PetQuery, Position
from pets.domain.repository import AddedOnce, Numbered, PetPage
from pets.domain.statistics import Counts

_EXPORT_PETS: Final = 1000


class InMemoryPetRepository:
    """A `PetRepository` for one event loop.

    Each call is atomic, because no method awaits between its reads and its writes.
    """

    def __init__(self, key_ttl: timedelta = timedelta(days=1)) -> None:
        self._pets: dict[int, Pet] = {}  # in the order of ids
        self._last_id = 0
        # Pets with the time of their key, in the order in which the keys were first used.
        self._keys: dict[str, tuple[float, Sequence[Pet]]] = {}
        self._key_ttl = key_ttl

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        _check_ids(len(pets), self._last_id)
        return [self._add(pet) for pet in pets]

    def _add(self, new: NewPet) -> Pet:
        self._last_id += 1
        pet = new.with_id(self._last_id)
        self._pets[pet.id] = pet
        return pet

    async def add_once(self, sets: Mapping[str, Sequence[NewPet]]) -> Mapping[str, AddedOnce]:
        now = monotonic()
        expired = now - self._key_ttl.total_seconds()
        # At least two for each key that is added, so that expired keys become fewer.
        for key in [*sets, *islice(self._keys, 2 * len(sets))]:
            if key in self._keys and self._keys[key][0] <= expired:
                del self._keys[key]
        used = sets.keys() & self._keys.keys()
        new = {key: pets for key, pets in sets.items() if key not in used}
        _check_ids(sum(map(len, new.values())), self._last_id)
        for key, pets in new.items():
            self._keys[key] = now, await self.add(pets)
        return {key: AddedOnce(self._keys[key][1], key in used) for key in sets}

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        return {id_: self._pets[id_] for id_ in ids if id_ in self._pets}

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        return [self._page(query) for query in queries]

    def _page(self, query: PetQuery) -> PetPage:
        if query == PetQuery(limit=query.limit):
            pets = list(islice(self._pets.values(), query.limit + 1))
            return PetPage.cut(query, len(self._pets), pets)
        matching = list(filter(query.matches, self._pets.values()))
        pets = _listed(matching, query)
        return PetPage.cut(query, len(matching), pets[: query.limit + 1])

    async def counts(self) -> Counts:
        """Count them all. That is no constant time, but no memory holds many millions of pets."""
        return Counter((pet.type, pet.age) for pet in self._pets.values())

    async def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        pets = _listed(filter(query.matches, self._pets.values()), query)
        for first in range(0, len(pets), _EXPORT_PETS):
            yield pets[first : first + _EXPORT_PETS]

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        changed = {}
        for id_ in self._expected(changes, expected or {}):
            changed[id_] = self._pets[id_].changed(changes[id_])
        self._pets.update(changed)
        return changed

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        removed = self._expected(ids, expected or {})
        for id_ in removed:
            del self._pets[id_]
        return removed

    def _expected(self, ids: Collection[int], expected: Mapping[int, Pet]) -> set[int]:
        """Return the ids whose pets exist and are as expected."""
        pets = self._pets.keys() & ids
        return {id_ for id_ in pets if self._pets[id_] == expected.get(id_, self._pets[id_])}

    async def load(
        self,
        pets: AsyncIterable[Numbered],
        *,
        skip_taken: bool,
        last_id: Callable[[], int] = int,
    ) -> Sequence[int]:
        new: list[NewPet] = []
        kept: dict[int, Pet] = {}
        refused: list[int] = []
        async for chunk in pets:
            for number, pet in chunk:
                if isinstance(pet, NewPet):
                    new.append(pet)
                elif pet.id in kept or pet.id in self._pets:
                    refused.append(number)
                else:
                    kept[pet.id] = pet
        if refused and not skip_taken:
            return refused
        highest = max(self._last_id, last_id(), *kept, 0)
        _check_ids(len(new), highest)
        self._pets = dict(sorted((self._pets | kept).items()))
        self._last_id = highest
        await self.add(new)
        return refused

    async def last_id(self) -> int:
        return self._last_id

    async def check(self) -> None:
        return


def _check_ids(number: int, last_id: int) -> None:
    """Raise `NoIdsLeft` unless there are ids for this number of new pets."""
    if number > MAX_ID - last_id:
        raise NoIdsLeft


def _listed(pets: Iterable[Pet], query: PetQuery) -> list[Pet]:
    """Sort the pets, and leave out those up to the position of the query."""
    listed = sorted(pets, key=lambda pet: _key(query.position(pet)), reverse=query.descending)
    if query.after is None:
        return listed
    after = _key(query.after)
    if query.descending:
        return [pet for pet in listed if _key(query.position(pet)) < after]
    return [pet for pet in listed if _key(query.position(pet)) > after]


def _key(position: Position) -> tuple[Any, int]:  # Any: values of one type within a query
    return position.value, position.id
