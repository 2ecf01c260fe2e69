"""Pets and changes of pets, none of which can hold an invalid value."""

import re
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple
from unicodedata import normalize

from pets.domain.errors import InvalidPet

MAX_ID: Final = 2**63 - 1
MIN_AGE: Final = 0
MAX_AGE: Final = 100
MAX_NAME_LENGTH: Final = 100
EARLIEST: Final = datetime.fromisoformat("0001-01-02T00:00:00")
LATEST: Final = datetime.fromisoformat("9999-12-31T23:59:59")
"""The first and the last time of a pet: all that Python can hold, except for the very first day.

Go, .NET and others write a time that was never set as the beginning of that day, in any time zone,
and the driver of PostgreSQL takes it for minus infinity.
"""

# Inside a character class: Unicode's White_Space property, and its category Cc.
WHITE_SPACE: Final = (
    r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
)
CONTROL: Final = r"\u0000-\u001f\u007f-\u009f"

_EDGE: Final = f"[^{WHITE_SPACE}{CONTROL}]"
_INNER: Final = f"[^{CONTROL}]{{0,{MAX_NAME_LENGTH - 2}}}"
_CLEAN: Final = f"{_EDGE}({_INNER}{_EDGE})?"
CLEAN_NAME_PATTERN: Final = f"^{_CLEAN}$"
NAME_PATTERN: Final = f"^[{WHITE_SPACE}]*({_CLEAN})[{WHITE_SPACE}]*$"
"""A name as a client may write it. The first group is the name without white space at its ends."""

NAME_RULE: Final = (
    f"1 to {MAX_NAME_LENGTH} characters, not counting white space at both ends,"
    " none of them a control character"
)
AGE_RULE: Final = f"an integer from {MIN_AGE} to {MAX_AGE}"
TIME_RULE: Final = f"from {EARLIEST.isoformat()} to {LATEST.isoformat()}"

_NAME: Final = re.compile(NAME_PATTERN)
_MAX_DECOMPOSED_LENGTH: Final = 4 * MAX_NAME_LENGTH
"""A longer text has no name in NFC, because no character is composed of more than four."""


class PetType(StrEnum):
    DOG = "dog"
    CAT = "cat"


TYPE_RULE: Final = " or ".join(f'"{kind}"' for kind in PetType)


def composed(text: str) -> str:
    """Return a text in Unicode's form NFC, in which texts that look the same are the same (UAX 15).

    A text that is too long for a name stays as it is, because some long texts take seconds.
    """
    if text.isascii() or len(text.strip()) > _MAX_DECOMPOSED_LENGTH:
        return text
    return _normalized(text)


# A name is composed where it is read, and once more where the pet is made.
@lru_cache(maxsize=4)
def _normalized(text: str) -> str:
    return normalize("NFC", text)


def clean_name(name: str) -> str:
    """Return a name as it is stored. Raises `InvalidPet`."""
    match = _NAME.fullmatch(composed(name))
    if match is None:
        raise InvalidPet(f"name must be {NAME_RULE}")
    return match[1]


def _check_age(age: int) -> None:
    if not MIN_AGE <= age <= MAX_AGE:
        raise InvalidPet(f"age must be {AGE_RULE}")


def is_time(time: datetime) -> bool:
    """Whether a pet can have this time: in whole seconds, without a time zone, and in range."""
    return time.tzinfo is None and not time.microsecond and EARLIEST <= time <= LATEST


def _check_time(time: datetime) -> None:
    if time.tzinfo is not None or time.microsecond:
        raise InvalidPet("created_at must be in whole seconds, without a time zone")
    if not is_time(time):
        raise InvalidPet(f"created_at must be {TIME_RULE}")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0, tzinfo=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPet:
    """A pet that has no id yet.

    `name` has 1 to 100 characters of any script and no control characters.
    White space at its ends is dropped, and it is put into Unicode's form NFC.
    `age` is in whole years, 0 to 100.
    `created_at` is in UTC and whole seconds, without a time zone, from `EARLIEST` to `LATEST`.
    It is now by default.

    Raises `InvalidPet` for any other value.
    """

    name: str
    age: int
    type: PetType
    created_at: datetime = field(default_factory=_now)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", clean_name(self.name))
        _check_age(self.age)
        _check_time(self.created_at)

    def is_like(self, pet: "Pet") -> bool:
        """Whether the pet has the same members, except for those that are given to it."""
        # Older versions stored names in any form.
        pet = pet._replace(name=composed(pet.name))
        return self.with_id(pet.id)._replace(created_at=pet.created_at) == pet

    def with_id(self, id_: int) -> "Pet":
        return Pet(id_, self.name, self.age, self.type, self.created_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class PetChange:
    """New values for some members of a pet. A member that is None keeps its value.

    The rules are those of `NewPet`. Raises `InvalidPet` for any other value.
    """

    name: str | None = None
    age: int | None = None
    type: PetType | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            object.__setattr__(self, "name", clean_name(self.name))
        if self.age is not None:
            _check_age(self.age)


class Pet(NamedTuple):
    """A pet in a store. `id` is 1 to 2^63-1. The store assigns it and never assigns it again.

    Its values are not checked, because only stores create it, from a `NewPet`, and a check would
    take longer than the rest of a request. It is a tuple, because a frozen dataclass takes three
    times as long to make (docs/decisions/0009).
    """

    id: int
    name: str
    age: int
    type: PetType
    created_at: datetime

    def changed(self, change: PetChange) -> "Pet":
        new = {name: getattr(change, name) for name in _CHANGEABLE}
        return self._replace(**{name: value for name, value in new.items() if value is not None})


_CHANGEABLE: Final = [member.name for member in fields(PetChange)]
