"""The bodies, for the two servers that speak msgspec."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

NOT_FOUND = "Pet with the matching ID was not found."

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Age = Annotated[int, Meta(ge=0, le=100)]
PetType = Literal["dog", "cat"]


class PetCreate(Struct, forbid_unknown_fields=True):
    name: Name
    age: Age
    type: PetType


class PetUpdate(Struct, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    age: Age | UnsetType = UNSET
    type: PetType | UnsetType = UNSET


class Pet(Struct):
    id: int
    name: str
    age: int
    type: PetType
    created_at: datetime  # naive, in UTC: so msgspec writes it without an offset


class PetPage(Struct):
    count: int
    items: list[Pet]


class PetsDelete(Struct, forbid_unknown_fields=True):
    ids: Annotated[list[int], Meta(max_length=10_000)]


class DeleteError(Struct):
    id: int
    error: str = NOT_FOUND


class PetsDeleted(Struct):
    deleted: int
    errors: list[DeleteError]
