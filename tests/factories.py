"""Random pets for tests, which differ at every run."""

from dataclasses import fields
from datetime import timedelta
from typing import Any, get_type_hints

from polyfactory import Use
from polyfactory.factories import DataclassFactory
from polyfactory.factories.msgspec_factory import MsgspecFactory

from pets.api.schemas import PetCreate
from pets.domain.pet import MAX_AGE, MIN_AGE, NewPet, PetChange, PetType

NAMES = [
    "boy",
    "girl",
    "x",
    "y" * 100,
    "Ἄργος",
    "小白",
    "شرلوك",
    "Ñandú",
    "O'Malley",
    "🐕‍🦺",
    "'); DROP TABLE pets;--",
]

MEMBERS = [member.name for member in fields(NewPet)]
TEXTS = [name for name, kind in get_type_hints(NewPet).items() if kind is str]
CHANGEABLE = [member.name for member in fields(PetChange)]
"""The members of a new pet, those that are any text, and those that clients give and change."""

MAX_DIFFERENT = 2000
"""Larger batches repeat pets, because making each pet takes long."""


class NewPetFactory(DataclassFactory[NewPet]):
    # Members that may be absent are there. Only the time is the default, which is now.
    created_at = Use(lambda: NewPet(name="x", age=0, type=PetType.DOG).created_at)
    name = Use(DataclassFactory.__random__.choice, NAMES)
    age = Use(DataclassFactory.__random__.randint, MIN_AGE, MAX_AGE)

    @classmethod
    def unlike(cls, pet: NewPet) -> NewPet:
        """Make a pet that differs from this one in every member."""
        later = pet.created_at + timedelta(days=1)
        while True:
            other = cls.build(created_at=later)
            if all(getattr(other, name) != getattr(pet, name) for name in MEMBERS):
                return other

    @classmethod
    def batch(cls, size: int, **kwargs: Any) -> list[NewPet]:  # Any: the overridden method has it
        different = super().batch(min(size, MAX_DIFFERENT), **kwargs)
        if size <= MAX_DIFFERENT:
            return different
        return different + cls.__random__.choices(different, k=size - MAX_DIFFERENT)


class PetCreateFactory(MsgspecFactory[PetCreate]):
    name = Use(MsgspecFactory.__random__.choice, NAMES)
    age = Use(MsgspecFactory.__random__.randint, MIN_AGE, MAX_AGE)
