"""Random pets for tests, which differ at every run."""

from typing import Any

from polyfactory import Use
from polyfactory.factories import DataclassFactory
from polyfactory.factories.msgspec_factory import MsgspecFactory

from pets.api.schemas import PetCreate
from pets.domain.pet import MAX_AGE, MIN_AGE, NewPet

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

MAX_DIFFERENT = 2000
"""Larger batches repeat pets, because making each pet takes long."""


class NewPetFactory(DataclassFactory[NewPet]):
    __use_defaults__ = True

    name = Use(DataclassFactory.__random__.choice, NAMES)
    age = Use(DataclassFactory.__random__.randint, MIN_AGE, MAX_AGE)

    @classmethod
    def batch(cls, size: int, **kwargs: Any) -> list[NewPet]:  # Any: the overridden method has it
        different = super().batch(min(size, MAX_DIFFERENT), **kwargs)
        if size <= MAX_DIFFERENT:
            return different
        return different + cls.__random__.choices(different, k=size - MAX_DIFFERENT)


class PetCreateFactory(MsgspecFactory[PetCreate]):
    name = Use(MsgspecFactory.__random__.choice, NAMES)
    age = Use(MsgspecFactory.__random__.randint, MIN_AGE, MAX_AGE)
