"""Pets for tests, different at every run."""

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


class NewPetFactory(DataclassFactory[NewPet]):
    __use_defaults__ = True

    name = Use(DataclassFactory.__random__.choice, NAMES)
    age = Use(DataclassFactory.__random__.randint, MIN_AGE, MAX_AGE)

    @classmethod
    def batch(
        cls, size: int, **kwargs: Any
    ) -> list[NewPet]:  # Any: as in the method that this one overrides
        """Make pets, of which many share a few thousand values, because making each takes long."""
        different = super().batch(min(size, MAX_DIFFERENT), **kwargs)
        repeated = cls.__random__.choices(different, k=size - len(different)) if different else []
        return different + repeated


class PetCreateFactory(MsgspecFactory[PetCreate]):
    name = Use(MsgspecFactory.__random__.choice, NAMES)
    age = Use(MsgspecFactory.__random__.randint, MIN_AGE, MAX_AGE)
