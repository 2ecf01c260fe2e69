"""Pets in the memory of this process: gone when it ends, not shared with another."""

import operator
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.query import PetQuery, Position
from pets.domain.repository import PetPage


class InMemoryPetRepository:
    """A `PetRepository` for one event loop. No method awaits before it has read or changed all that it will."""

    def __init__(self, key_ttl: timedelta = timedelta(days=1)) -> None:
        self._pets: dict[int, Pet] = {}  # in the order of ids
        self._last_id = 0
        self._keys: dict[str, Pet] = {}  # in the order of their use
        self._key_ttl = key_ttl

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        return [self._add(pet) for pet in pets]

    def _add(self, new: NewPet) -> Pet:
        self._last_id += 1
        pet = self._pets[self._last_id] = new.with_id(self._last_id)
        return pet

    async def add_once(self, pets: Mapping[str, NewPet]) -> Mapping[str, Pet]:
        for key, new in pets.items():
            expired = new.created_at - self._key_ttl
            if key not in self._keys or self._keys[key].created_at <= expired:
                self._keys.pop(key, None)
                self._keys[key] = self._add(new)
            while self._keys[oldest := next(iter(self._keys))].created_at <= expired:
                del self._keys[oldest]
        return {key: self._keys[key] for key in pets}

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        return {id_: self._pets[id_] for id_ in ids if id_ in self._pets}

    async def page(self, query: PetQuery) -> PetPage:
        if query.is_plain and query.after is None:
            return PetPage.cut(
                query, len(self._pets), list(islice(self._pets.values(), query.limit + 1))
            )
        found = [pet for pet in self._pets.values() if query.matches(pet)]
        return PetPage.cut(query, len(found), _in_order(found, query)[: query.limit + 1])

    async def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        yield _in_order(filter(query.matches, list(self._pets.values())), query)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        there = self._there(changes, expected)
        self._pets |= {id_: self._pets[id_].changed(changes[id_]) for id_ in there}
        return {id_: self._pets[id_] for id_ in there}

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        there = self._there(ids, expected)
        for id_ in there:
            del self._pets[id_]
        return there

    def _there(self, ids: Collection[int], expected: Mapping[int, Pet] | None) -> set[int]:
        expected = expected or {}
        return {
            id_
            for id_ in ids
            if id_ in self._pets and self._pets[id_] == expected.get(id_, self._pets[id_])
        }

    async def load(
        self, pets: AsyncIterable[Sequence[tuple[int, NewPet | Pet]]], *, skip_taken: bool
    ) -> Sequence[int]:
        given = [numbered async for some in pets for numbered in some]
        kept: dict[int, Pet] = {}
        refused: list[int] = []
        for number, pet in given:
            if isinstance(pet, Pet):
                if pet.id in self._pets or pet.id in kept:
                    refused.append(number)
                else:
                    kept[pet.id] = pet
        if skip_taken or not refused:
            self._pets = dict(sorted((self._pets | kept).items()))
            self._last_id = max(self._last_id, *kept, 0)
            for _, pet in given:
                if isinstance(pet, NewPet):
                    self._add(pet)
        return refused

    async def check(self) -> None:
        return


def _in_order(pets: Iterable[Pet], query: PetQuery) -> list[Pet]:
    """Sort the pets, and leave out those up to the position of the query."""

    def place(position: Position) -> tuple[Any, int]:  # Any: values of one kind within a query
        return position.value, position.id

    found = sorted(pets, key=lambda pet: place(query.position(pet)), reverse=query.descending)
    if query.after is None:
        return found
    past = operator.lt if query.descending else operator.gt
    return [pet for pet in found if past(place(query.position(pet)), place(query.after))]
