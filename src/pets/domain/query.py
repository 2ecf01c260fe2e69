"""What can be asked of a store: which pets, in which order."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from pets.domain.errors import InvalidQuery
from pets.domain.pet import (
    AGE_RULE,
    CONTROL,
    MAX_AGE,
    MAX_ID,
    MAX_NAME_LENGTH,
    MIN_AGE,
    TYPE_RULE,
    Pet,
    PetType,
)

DEFAULT_LIMIT: Final = 20
LIMIT_RULE: Final = "an integer, 0 or more"
PART_RULE: Final = f"1 to {MAX_NAME_LENGTH} characters, none of them a control character"

_CONTROL: Final = re.compile(f"[{CONTROL}]")


class PetSort(StrEnum):
    """The member of a pet to sort by. Names are in the order of their code points, so capitals before small letters."""

    ID = "id"
    NAME = "name"
    AGE = "age"
    CREATED_AT = "created_at"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a pet stands in an order: what it is sorted by, and its id, which settles ties."""

    value: int | str | datetime
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PetQuery:
    """Which pets, in which order, how many of them, and from where on.

    - `type`, `age_min` and `age_max` (years, both included) and `name` choose pets; None chooses all. `name` is a part
      of the pet's name, 1 to 100 characters, in which case does not matter (Unicode's full case folding).
    - `descending` turns the order by `sort` and id around.
    - `limit`, 0 or more, is how many pets a page has at most.
    - `after` leaves out the pets up to this position.

    Raises `InvalidQuery` for anything else.
    """

    type: PetType | None = None
    age_min: int | None = None
    age_max: int | None = None
    name: str | None = None
    sort: PetSort = PetSort.ID
    descending: bool = False
    limit: int = DEFAULT_LIMIT
    after: Position | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.type, PetType | None):
            raise InvalidQuery("type", TYPE_RULE)
        for member in ("age_min", "age_max"):
            age = getattr(self, member)
            if age is not None and not _is_age(age):
                raise InvalidQuery(member, AGE_RULE)
        if self.name is not None and not _is_part_of_name(self.name):
            raise InvalidQuery("name", PART_RULE)
        if type(self.limit) is not int or self.limit < 0:
            raise InvalidQuery("limit", LIMIT_RULE)
        if self.after is not None and not self._has(self.after):
            raise InvalidQuery("after", "a position in the order of the query")

    def _has(self, position: Position) -> bool:
        value = position.value
        match self.sort:
            case PetSort.ID:
                fits = value == position.id
            case PetSort.NAME:
                fits = _is_part_of_name(value)
            case PetSort.AGE:
                fits = _is_age(value)
            case PetSort.CREATED_AT:
                fits = isinstance(value, datetime) and value.utcoffset() == timedelta(0)
        return fits and type(position.id) is int and 1 <= position.id <= MAX_ID

    @property
    def is_filtered(self) -> bool:
        """Whether the query leaves out pets other than by their type."""
        return (self.age_min, self.age_max, self.name) != (None, None, None)

    @property
    def is_plain(self) -> bool:
        """Whether the query chooses all pets, by ascending id."""
        return (
            self.sort is PetSort.ID
            and not self.descending
            and self.type is None
            and not self.is_filtered
        )

    def matches(self, pet: Pet) -> bool:
        """Whether the query chooses the pet, wherever it stands."""
        return (
            (self.type is None or pet.type is self.type)
            and (self.age_min is None or pet.age >= self.age_min)
            and (self.age_max is None or pet.age <= self.age_max)
            and (self.name is None or self.name.casefold() in pet.name.casefold())
        )

    def position(self, pet: Pet) -> Position:
        return Position(getattr(pet, self.sort), pet.id)

    def following(self, pet: Pet) -> Self:
        """Return the query that goes on after this pet."""
        return replace(self, after=self.position(pet))


def _is_age(age: object) -> bool:
    return type(age) is int and MIN_AGE <= age <= MAX_AGE


def _is_part_of_name(text: object) -> bool:
    return isinstance(text, str) and 1 <= len(text) <= MAX_NAME_LENGTH and not _CONTROL.search(text)
