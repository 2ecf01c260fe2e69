"""The one port: a store of pets."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from pets.domain.pet import NewPet, Pet


@dataclass(frozen=True, slots=True)
class PetPage:
    """Some of the pets of a store, and how many there are in all, at one and the same moment."""

    count: int
    items: Sequence[Pet]


class PetRepository(Protocol):
    """A store of pets.

    It works on sets: one pet is a set of one. Each call is one atomic step, safe among any number of concurrent ones.
    When it returns, what it changed is committed; when it raises, it changed nothing, save that after
    `StoreUnavailable` a change may have been committed whose confirmation was lost.

    Every call may raise `StoreUnavailable`.
    """

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        """Keep the pets, all or none, and return them in the order given, with ids that ascend in that order.

        An id is never given twice, not even after its pet is removed.
        """
        ...

    async def page(self, limit: int) -> PetPage:
        """Return the first `limit` pets (0 or more) by ascending id, and the count of all."""
        ...

    async def remove(self, ids: Collection[int]) -> set[int]:
        """Remove the pets with these ids and return the ids of those that were there.

        Any integer may be asked for; one that cannot be an id is not there. Of concurrent calls for the same id
        exactly one is told that it was there.
        """
        ...

    async def check(self) -> None:
        """Return if the store answers and has the schema that this version needs; raise `StoreUnavailable` if not."""
        ...
