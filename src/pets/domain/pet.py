"""Pets that cannot hold an invalid value."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from pets.domain.errors import InvalidPet

MAX_ID: Final = 2**63 - 1
MIN_AGE: Final = 0
MAX_AGE: Final = 100
MAX_NAME_LENGTH: Final = 100

# Inside a character class: Unicode's White_Space property, and its category Cc.
WHITE_SPACE: Final = (
    r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
)
CONTROL: Final = r"\u0000-\u001f\u007f-\u009f"

NAME_PATTERN: Final = (
    rf"^[{WHITE_SPACE}]*"
    rf"([^{WHITE_SPACE}{CONTROL}]([^{CONTROL}]{{0,{MAX_NAME_LENGTH - 2}}}[^{WHITE_SPACE}{CONTROL}])?)"
    rf"[{WHITE_SPACE}]*$"
)
"""A name as it may be given; the first group is the name as it is kept, without white space at its ends."""

NAME_RULE: Final = f"1 to {MAX_NAME_LENGTH} characters, not counting white space at both ends, none of them a control character"
AGE_RULE: Final = f"an integer from {MIN_AGE} to {MAX_AGE}"

_NAME: Final = re.compile(NAME_PATTERN)


class PetType(StrEnum):
    DOG = "dog"
    CAT = "cat"


TYPE_RULE: Final = " or ".join(f'"{kind}"' for kind in PetType)

# Types are checked too: a caller's annotations promise nothing at run time, and True is an int.


def _clean_name(name: object) -> str:
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise InvalidPet(f"name must be {NAME_RULE}")
    return match[1]


def _check_age(age: object) -> None:
    if type(age) is not int or not MIN_AGE <= age <= MAX_AGE:
        raise InvalidPet(f"age must be {AGE_RULE}")


def _check_type(kind: object) -> None:
    if not isinstance(kind, PetType):
        raise InvalidPet(f"type must be {TYPE_RULE}")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPet:
    """A pet that no store has given an id yet.

    `name` is 1 to 100 characters of any script without control characters; white space at its ends is dropped.
    `age` is in whole years, 0 to 100. `created_at` is in UTC and whole seconds, by default now.

    Raises `InvalidPet` for anything else.
    """

    name: str
    age: int
    type: PetType
    created_at: datetime = field(default_factory=_now)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _clean_name(self.name))
        _check_age(self.age)
        _check_type(self.type)
        if self.created_at.utcoffset() != timedelta(0) or self.created_at.microsecond:
            raise InvalidPet("created_at must be in UTC and whole seconds")

    def with_id(self, id_: int) -> "Pet":
        return Pet(id_, self.name, self.age, self.type, self.created_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class PetChange:
    """What shall be different about a pet; what is None stays as it is.

    The rules are those of `NewPet`. Raises `InvalidPet` for anything else.
    """

    name: str | None = None
    age: int | None = None
    type: PetType | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            object.__setattr__(self, "name", _clean_name(self.name))
        if self.age is not None:
            _check_age(self.age)
        if self.type is not None:
            _check_type(self.type)


@dataclass(frozen=True, slots=True)
class Pet:
    """A pet in a store. `id` is 1 to 2^63-1, given by the store and never given again.

    Stores alone make these, of what was a `NewPet` once: it is not checked again, which would take longer than all else
    that is done with it (docs/decisions/0009).
    """

    id: int
    name: str
    age: int
    type: PetType
    created_at: datetime

    def changed(self, change: PetChange) -> "Pet":
        return Pet(
            self.id,
            self.name if change.name is None else change.name,
            self.age if change.age is None else change.age,
            self.type if change.type is None else change.type,
            self.created_at,
        )
