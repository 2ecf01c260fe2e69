"""The made-up pets of `pets seed`."""

from itertools import islice

from pets.cli.seeding import made_up_pets
from pets.domain.pet import PetType


def some_pets(number: int, seed: int) -> list[tuple[str, int, PetType]]:
    return [(pet.name, pet.age, pet.type) for pet in islice(made_up_pets(seed), number)]


def test_the_same_seed_makes_the_same_pets_on_every_python() -> None:
    assert some_pets(4, seed=1) == [
        ("Murphy", 10, PetType.DOG),
        ("Fido", 1, PetType.DOG),
        ("Merlin", 8, PetType.CAT),
        ("Bonnie", 5, PetType.DOG),
    ]


def test_another_seed_makes_other_pets() -> None:
    assert some_pets(100, seed=1) != some_pets(100, seed=2)


def test_a_hundred_pets_are_of_both_types_and_all_ages() -> None:
    pets = some_pets(100, seed=1)
    assert {type_ for _, _, type_ in pets} == {*PetType}
    ages = sorted(age for _, age, _ in pets)
    assert ages[0] == 0
    assert 3 <= ages[50] <= 8
    assert 12 <= ages[-1] <= 20
