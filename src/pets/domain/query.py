"""Queries: which pets, in which order, from which position on."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pets.domain.errors import InvalidPet, InvalidQuery
from pets.domain.pet import (
    AGE_RULE,
    CONTROL,
    MAX_AGE,
    MAX_ID,
    MAX_NAME_LENGTH,
    MIN_AGE,
    NAME_RULE,
    TIME_RULE,
    Pet,
    PetType,
    clean_name,
    composed,
    is_time,
)

DEFAULT_LIMIT: Final = 20
LIMIT_RULE: Final = "an integer, 0 or more"
PART_RULE: Final = f"1 to {MAX_NAME_LENGTH} characters, none of them a control character"

_NOTHING: Final = (None, None, None, None)
_PART: Final = re.compile(f"[^{CONTROL}]{{1,{MAX_NAME_LENGTH}}}")


class PetSort(StrEnum):
    """The member of a pet to sort by.

    Names are sorted by code points, so capitals come before small letters.
    """

    ID = "id"
    NAME = "name"
    AGE = "age"
    CREATED_AT = "created_at"


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a pet in an order: the value it is sorted by, and its id, which breaks ties."""

    value: int | str | datetime
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PetQuery:
    """Which pets, in which order, how many of them, and from which position on.

    - `type`, `age_min` and `age_max` (years, both included), `name`, `name_is`, `created_from` and
      `created_to` (both included, as in `NewPet`) and `ids` filter the pets. None means no filter.
      `name` is a part of the pet's name, 1 to 100 characters.
      Its case does not matter (Unicode's full case folding), nor does its form in Unicode.
      `name_is` is the whole name, as it would be stored. `ids` are from 1 to 2^63-1.
    - `descending` reverses the order by `sort` and id.
    - `limit`, 0 or more, is how many pets a page has at most.
    - `after` leaves out the pets up to this position. In the order by age, it must pass the
      filter by age.

    Raises `InvalidQuery` for any other value.
    """

    type: PetType | None = None
    age_min: int | None = None
    age_max: int | None = None
    name: str | None = None
    name_is: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    ids: frozenset[int] | None = None
    sort: PetSort = PetSort.ID
    descending: bool = False
    limit: int = DEFAULT_LIMIT
    after: Position | None = None

    def __post_init__(self) -> None:
        if self.age_min is not None and not _is_age(self.age_min):
            raise InvalidQuery("age_min", AGE_RULE)
        if self.age_max is not None and not _is_age(self.age_max):
            raise InvalidQuery("age_max", AGE_RULE)
        if self.name is not None:
            object.__setattr__(self, "name", _part_of_a_name(self.name))
        if self.name_is is not None:
            object.__setattr__(self, "name_is", _whole_name(self.name_is))
        if self.created_from is not None and not is_time(self.created_from):
            raise InvalidQuery("created_from", TIME_RULE)
        if self.created_to is not None and not is_time(self.created_to):
            raise InvalidQuery("created_to", TIME_RULE)
        if self.ids and not (min(self.ids) >= 1 and max(self.ids) <= MAX_ID):
            raise InvalidQuery("ids", f"from 1 to {MAX_ID}")
        if self.limit < 0:
            raise InvalidQuery("limit", LIMIT_RULE)
        if self.after is not None and not self._has(self.after):
            raise InvalidQuery("after", "a position in the order of the query")

    def _has(self, position: Position) -> bool:
        if not 1 <= position.id <= MAX_ID:
            return False
        match self.sort, position.value:
            case PetSort.ID, int(id_):
                return id_ == position.id
            case PetSort.NAME, str(name):
                return _PART.fullmatch(name) is not None
            case PetSort.AGE, int(age):
                lowest = MIN_AGE if self.age_min is None else self.age_min
                highest = MAX_AGE if self.age_max is None else self.age_max
                return lowest <= age <= highest
            case PetSort.CREATED_AT, datetime() as time:
                return is_time(time)
        return False

    @property
    def is_search(self) -> bool:
        """Whether the query is expensive, because a store has to read each pet that matches.

        For a part of a name it has to read all pets, but there are few `ids`.
        """
        filters = (self.name, self.name_is, self.created_from, self.created_to)
        return self.ids is None and filters != _NOTHING

    def matches(self, pet: Pet) -> bool:
        """Whether the pet passes the filters. Its position does not matter."""
        return (
            self.passes(pet.type, pet.age)
            and (self.ids is None or pet.id in self.ids)
            and (self.name_is is None or pet.name == self.name_is)
            and (self.created_from is None or pet.created_at >= self.created_from)
            and (self.created_to is None or pet.created_at <= self.created_to)
            and (self.name is None or self.name.casefold() in pet.name.casefold())
        )

    def passes(self, type_: PetType, age: int) -> bool:
        """Whether pets of this type and age pass the filters by type and age."""
        return (
            (self.type is None or type_ is self.type)
            and (self.age_min is None or age >= self.age_min)
            and (self.age_max is None or age <= self.age_max)
        )

    def position(self, pet: Pet) -> Position:
        return Position(getattr(pet, self.sort), pet.id)

    def following(self, pet: Pet) -> Self:
        """Return the query for the pets after this one, which must be one of the query's."""
        # To check all members again would take ten times as long.
        query = object.__new__(type(self))
        for member in self.__slots__:
            object.__setattr__(query, member, getattr(self, member))
        object.__setattr__(query, "after", self.position(pet))
        return query


def _part_of_a_name(text: str) -> str:
    part = composed(text)
    if not _PART.fullmatch(part):
        raise InvalidQuery("name", PART_RULE)
    return part


def _whole_name(name: str) -> str:
    try:
        return clean_name(name)
    except InvalidPet:
        raise InvalidQuery("name_is", NAME_RULE) from None


def _is_age(age: int) -> bool:
    return MIN_AGE <= age <= MAX_AGE
