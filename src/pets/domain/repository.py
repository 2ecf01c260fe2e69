"""The one port of the domain: a store of pets."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.query import PetQuery
from pets.domain.statistics import Counts

Numbered = Sequence[tuple[int, NewPet | Pet]]
"""Pets to load, each with a number by which the caller identifies it."""


@dataclass(frozen=True, slots=True)
class PetPage:
    """Some pets of a query, and the count of all its pets, both at the same moment.

    `next` is the query for the pets after these. It is None if this is the last page.
    """

    count: int
    items: Sequence[Pet]
    next: PetQuery | None = None

    @classmethod
    def cut(cls, query: PetQuery, count: int, pets: Sequence[Pet]) -> Self:
        """Return the page that begins with these pets.

        One pet more than the query's limit shows that there is another page.
        """
        if len(pets) <= query.limit:
            return cls(count, pets)
        items = pets[: query.limit]
        return cls(count, items, query.following(items[-1]) if items else None)


@dataclass(frozen=True, slots=True)
class AddedOnce:
    """The pets that were added under a key, as they were when they were added."""

    pets: Sequence[Pet]
    is_replay: bool
    """Whether an earlier call added them."""

    def answers(self, new: Sequence[NewPet]) -> bool:
        """Whether these are the new pets, and no others."""
        if len(new) != len(self.pets):
            return False
        return all(map(NewPet.is_like, new, self.pets))


class PetRepository(Protocol):
    """A store of pets.

    It works on sets: one pet is a set of one. Each call is one atomic step, and any number of
    calls may run at once. When a call returns, its changes are committed. When it raises, nothing
    has changed, with one exception: after `OutcomeUnknown` a change may have been committed,
    because its confirmation was lost.

    Every call may raise `StoreUnavailable`.
    """

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        """Add all the pets and return them in the same order, with ascending ids.

        An id is never assigned twice, not even after its pet is removed. So ids can run out: then
        this and every other call that adds pets raises `NoIdsLeft`.
        """
        ...

    async def add_once(self, sets: Mapping[str, Sequence[NewPet]]) -> Mapping[str, AddedOnce]:
        """Add each set of pets unless one was already added under its key.

        The result has the set that was added first under each key, even if its pets were changed
        or removed since. Of a set that is longer than the given one, it may have one more pet only.
        The pets of a set are in the order in which they were given, with ascending ids.

        A set has 1 pet or more. A key has up to 255 characters and no line breaks. It is forgotten
        after the store's `key_ttl`, by the clock of the store. The `created_at` of the pets, which
        callers set, does not matter.
        """
        ...

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        """Return the pets that have these ids, by id. An integer that is no id is not found."""
        ...

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        """Return a page for each query, in the same order.

        A page has the first pets of its query, up to the limit, and the count of all its pets.
        Neither the limit nor the position changes the count. The count and items of each page
        are of one moment; two pages of one call need not be. A caller that follows `next` gets
        every pet that stays in the store exactly once, even while others add and remove pets.
        """
        ...

    async def counts(self) -> Counts:
        """Return how many pets of each type and age there are, all at one moment.

        The numbers are exact, and take the same time however many pets there are.
        """
        ...

    def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        """Yield all pets of a query in chunks, as they are at one moment. Its limit is ignored."""
        ...

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        """Change the pets that have these ids, and return the changed pets by id.

        If a pet is expected for an id, the pet with this id is changed only if it equals that one.
        """
        ...

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        """Remove the pets that have these ids, and return the ids of the removed pets.

        Of several calls for one id at once, exactly one gets the id back. An integer that is no
        id is not found. `expected` is as in `change`.
        """
        ...

    async def load(
        self,
        pets: AsyncIterable[Numbered],
        *,
        skip_taken: bool,
        last_id: Callable[[], int] = int,
    ) -> Sequence[int]:
        """Add any number of pets, and return the numbers of the refused ones.

        Either all pets are new, or all have ids. New pets get ascending ids in the same order.
        A pet with an id keeps it, and no id up to it will be assigned. It is refused if its id is
        taken by a pet of the store or by one before it. If any is refused, none is added, unless
        `skip_taken`. If `pets` raises, none is added either.

        `last_id` is called after all pets are read. No id up to its result will be assigned later.
        """
        ...

    async def last_id(self) -> int | None:
        """Return the highest id that will not be assigned any more, or 0.

        It is None if this process has no right to read it.
        """
        ...

    async def check(self) -> None:
        """Return if the store answers and has the schema of this version.

        Otherwise raise `StoreUnavailable`.
        """
        ...
