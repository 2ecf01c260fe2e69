"""The one port: a store of pets."""

from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.query import PetQuery


@dataclass(frozen=True, slots=True)
class PetPage:
    """Some of the pets that a query chooses, and how many it chooses in all, at one and the same moment.

    `next` is the query for the pets after these, if there are any.
    """

    count: int
    items: Sequence[Pet]
    next: PetQuery | None = None

    @classmethod
    def cut(cls, query: PetQuery, count: int, found: Sequence[Pet]) -> Self:
        """Return the page of a query, of what was found from its position on: one more than its limit, if there is."""
        if len(found) <= query.limit:
            return cls(count, found)
        items = found[: query.limit]
        return cls(count, items, query.following(items[-1]) if items else None)


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

    async def add_once(self, pets: Mapping[str, NewPet]) -> Mapping[str, Pet]:
        """Keep each pet unless one was already added under its key, and return by key what was added first.

        What is returned is the pet as it was added, whatever became of it since, and whether or not it is like the one
        given. Keys, of up to 255 characters, are remembered for the store's `key_ttl`, counted by the pets'
        `created_at`, and unused after.
        """
        ...

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        """Return the pets with these ids, those that are there. Any integer may be asked for."""
        ...

    async def page(self, query: PetQuery) -> PetPage:
        """Return the first pets of a query, as many as its limit says, and the count of all that it chooses.

        Neither limit nor position touch the count. Who follows `next` from page to page, while others add and remove,
        meets every pet that was there throughout exactly once.
        """
        ...

    def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        """Give all pets of a query, whatever its limit, some at a time, as they are at one and the same moment."""
        ...

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        """Change the pets with these ids, and return as they now are those that were there.

        One for whose id a pet is expected counts as not there unless it is exactly like that at the moment of change.
        """
        ...

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        """Remove the pets with these ids and return the ids of those that were there.

        Any integer may be asked for; one that cannot be an id is not there. Of concurrent calls for the same id
        exactly one is told that it was there. `expected` is as in `change`.
        """
        ...

    async def load(
        self, pets: AsyncIterable[Sequence[tuple[int, NewPet | Pet]]], *, skip_taken: bool
    ) -> Sequence[int]:
        """Keep pets in any number, each given with a number of the caller's, and return the numbers of those refused.

        Either all are new, or all have ids.

        New pets get ids that ascend in the order given, from beyond all that are there. A pet that has an id keeps it,
        and no id up to it will be given again; it is refused if its id is taken, be it by one before it. Unless
        `skip_taken`, a single refusal has none kept. None is kept either if `pets` raises.
        """
        ...

    async def check(self) -> None:
        """Return if the store answers and has the schema that this version needs; raise `StoreUnavailable` if not."""
        ...
