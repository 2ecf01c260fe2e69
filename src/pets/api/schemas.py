"""The documents that clients send and receive. Their members are written in the order here."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal, Self

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from pets.domain import pet as domain
from pets.domain.pet import (
    AGE_RULE,
    CLEAN_NAME_PATTERN,
    MAX_AGE,
    MAX_ID,
    MAX_NAME_LENGTH,
    MIN_AGE,
    NAME_PATTERN,
    NAME_RULE,
    TYPE_RULE,
    PetType,
    composed,
)
from pets.domain.repository import PetPage as DomainPetPage
from pets.domain.statistics import PetStatistics

MAX_LIMIT: Final = 1000
MAX_NEW_PETS: Final = 1000
"""How many pets one request creates."""

MAX_NEW_PETS_BYTES: Final = 1024 * 1024
"""The largest body with pets. A pet of 100 letters in any script takes up to 1,300 bytes."""

MAX_LINES: Final = 10_000
"""How many lines a request may have. Spreadsheets write empty rows, but a million take a second."""

MAX_LISTED_IDS: Final = 1000
MAX_IDS: Final = 10_000
MAX_IDS_BYTES: Final = 320 * 1024
"""The largest body with ids. It holds MAX_IDS of the longest, each in a line of its own."""

MAX_DIGITS: Final = 4300
"""Neither Python nor msgspec reads a longer integer."""

ID_RULE: Final = f"an integer of at most {MAX_DIGITS:,} digits"
NOT_FOUND: Final = "Pet with the matching ID was not found."
TIME_LENGTH: Final = 19
TIME_PATTERN: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$"

# The message about an invalid member is "must be", followed by its description.
Name = Annotated[str, Meta(pattern=NAME_PATTERN, description=NAME_RULE, examples=["boy"])]
Age = Annotated[
    int, Meta(ge=MIN_AGE, le=MAX_AGE, description=f"{AGE_RULE}, in whole years", examples=[7])
]
Type = Annotated[PetType, Meta(description=TYPE_RULE, examples=["dog"])]


def _check_form(name: str) -> None:
    """Raise `ValueError` unless a name is in Unicode's form NFC. Then it is read in that form."""
    if composed(name) != name:
        raise ValueError


class PetCreate(Struct, frozen=True, forbid_unknown_fields=True):
    """A pet to be created. Its name is kept in Unicode's form NFC."""

    name: Name
    age: Age
    type: Type

    def __post_init__(self) -> None:
        _check_form(self.name)

    def to_domain(self) -> domain.NewPet:
        return domain.NewPet(**asdict(self))

    def to_change(self) -> domain.PetChange:
        return domain.PetChange(**asdict(self))


PetsCreate = Annotated[
    list[PetCreate],
    Meta(
        min_length=1,
        max_length=MAX_NEW_PETS,
        description=f"an array of 1 to {MAX_NEW_PETS:,} pets",
    ),
]


class PetUpdate(Struct, frozen=True, forbid_unknown_fields=True):
    """Changes of a pet (a merge patch, RFC 7396). Members that are left out stay as they are."""

    name: Name | UnsetType = UNSET
    age: Age | UnsetType = UNSET
    type: Type | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.name is not UNSET:
            _check_form(self.name)

    def to_change(self) -> domain.PetChange:
        members = asdict(self).items()
        return domain.PetChange(**{name: value for name, value in members if value is not UNSET})


class Pet(Struct, frozen=True):
    """A pet."""

    id: Annotated[
        int, Meta(ge=1, le=MAX_ID, description="never given to another pet", examples=[1])
    ]
    name: Annotated[
        str,
        Meta(
            pattern=CLEAN_NAME_PATTERN,
            min_length=1,
            max_length=MAX_NAME_LENGTH,
            examples=["boy"],
        ),
    ]
    age: Age
    type: Type
    created_at: Annotated[
        datetime,
        Meta(
            description="in UTC, without an offset",
            examples=["2021-05-18T19:10:17"],
            extra_json_schema={"pattern": TIME_PATTERN, "maxLength": TIME_LENGTH},
        ),
    ]

    @classmethod
    def from_domain(cls, pet: domain.Pet) -> Self:
        return cls(*pet)


Pets = Annotated[list[Pet], Meta(max_length=MAX_LIMIT)]


class PetPage(Struct, frozen=True):
    """The first pets that match, and how many match in all."""

    count: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_ID,
            description="how many pets match in all, whatever the limit",
            examples=[2],
        ),
    ]
    items: Pets

    @classmethod
    def from_domain(cls, page: DomainPetPage) -> Self:
        return cls(page.count, [Pet(*pet) for pet in page.items])


_COUNT_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
Count = Annotated[int, Meta(ge=0, le=MAX_ID, examples=[2])]
Years = Annotated[float, Meta(ge=MIN_AGE, le=MAX_AGE)]


class AgeCount(Struct, frozen=True):
    """How many pets of an age there are."""

    age: Annotated[int, Meta(ge=MIN_AGE, le=MAX_AGE, examples=[7])]
    count: Annotated[int, Meta(ge=1, le=MAX_ID, examples=[2])]


class PetStats(Struct, frozen=True):
    """Numbers about the pets that match."""

    count: Annotated[Count, Meta(description="how many pets match")]
    by_type: Annotated[
        dict[PetType, Count],
        Meta(
            description="how many of each type",
            examples=[{"dog": 2, "cat": 0}],
            extra_json_schema={
                "properties": dict.fromkeys(PetType, _COUNT_SCHEMA),
                "required": list(PetType),
                "propertyNames": {"enum": list(PetType)},
            },
        ),
    ]
    by_age: Annotated[
        list[AgeCount],
        Meta(
            max_length=MAX_AGE - MIN_AGE + 1,
            description="how many of each age that a pet has, in ascending order",
        ),
    ]
    mean_age: Annotated[
        Years | None,
        Meta(
            description="in years, rounded to two decimals; null if no pet matches",
            examples=[7.0],
        ),
    ]
    median_age: Annotated[
        Years | None,
        Meta(
            description="in years: the age in the middle, or the mean of the two in the middle; "
            "null if no pet matches",
            examples=[7.0],
        ),
    ]

    @classmethod
    def from_domain(cls, statistics: PetStatistics) -> Self:
        by_age = [AgeCount(*item) for item in statistics.by_age.items()]
        return cls(
            statistics.count,
            dict(statistics.by_type),
            by_age,
            statistics.mean_age,
            statistics.median_age,
        )


class PetsDelete(Struct, frozen=True, forbid_unknown_fields=True):
    """Pets to be deleted."""

    ids: Annotated[
        list[Annotated[int, Meta(description=ID_RULE)]],
        Meta(
            max_length=MAX_IDS,
            description=f"an array of at most {MAX_IDS:,} integers",
            examples=[[1, 2, 3]],
        ),
    ]

    def unique(self) -> list[int]:
        """Return each id once, in the order of the request.

        The keys are texts, because nobody can predict the hash of a text. Anyone can find thousands
        of integers with the same hash, and to make a set of them takes seconds. The texts are
        hexadecimal, because to write thousands of decimal digits takes long too.
        """
        return list({hex(id_): id_ for id_ in self.ids}.values())


class DeleteError(Struct, frozen=True):
    """Why a pet was not deleted."""

    id: Annotated[int, Meta(description="as it was in the request", examples=[1])]
    error: Annotated[str, Meta(examples=[NOT_FOUND], extra_json_schema={"const": NOT_FOUND})]


class PetsDeleted(Struct, frozen=True):
    """The outcome of a request to delete pets."""

    deleted: Annotated[
        int, Meta(ge=0, le=MAX_IDS, description="how many pets this request deleted", examples=[2])
    ]
    errors: Annotated[
        list[DeleteError],
        Meta(
            max_length=MAX_IDS,
            description="the pets that it did not delete, in the order of the request",
        ),
    ]

    @classmethod
    def from_removed(cls, asked: Iterable[int], removed: set[int]) -> Self:
        return cls(
            len(removed), [DeleteError(id_, NOT_FOUND) for id_ in asked if id_ not in removed]
        )


class Health(Struct, frozen=True):
    """A health check that succeeded."""

    status: Literal["ok"]


encode: Final = msgspec.json.Encoder().encode
encode_lines: Final = msgspec.json.Encoder().encode_lines
