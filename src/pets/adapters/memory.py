"""Pets in the memory of this process: gone when it ends, not shared with another."""

from collections.abc import Collection, Sequence
from itertools import count, islice

from pets.domain.pet import NewPet, Pet
from pets.domain.repository import PetPage


class InMemoryPetRepository:
    """A `PetRepository` for one event loop; no method awaits, so each is one atomic step."""

    def __init__(self) -> None:
        self._pets: dict[int, Pet] = {}  # in the order of ids, since ids ascend
        self._ids = count(1)

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        added = [pet.with_id(next(self._ids)) for pet in pets]
        self._pets.update((pet.id, pet) for pet in added)
        return added

    async def page(self, limit: int) -> PetPage:
        return PetPage(len(self._pets), list(islice(self._pets.values(), limit)))

    async def remove(self, ids: Collection[int]) -> set[int]:
        return {id_ for id_ in ids if self._pets.pop(id_, None)}

    async def check(self) -> None:
        return
