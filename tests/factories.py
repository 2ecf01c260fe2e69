"""Pets for tests, different at every run."""

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


class NewPetFactory(DataclassFactory[NewPet]):
    __use_defaults__ = True

    name = Use(DataclassFactory.__random__.choice, NAMES)
    age = Use(DataclassFactory.__random__.randint, MIN_AGE, MAX_AGE)


class PetCreateFactory(MsgspecFactory[PetCreate]):
    name = Use(MsgspecFactory.__random__.choice, NAMES)
    age = Use(MsgspecFactory.__random__.randint, MIN_AGE, MAX_AGE)
