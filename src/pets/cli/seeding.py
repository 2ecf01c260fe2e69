"""Made-up pets for a store: `pets seed`."""

from collections.abc import AsyncGenerator, Iterator
from itertools import islice
from random import Random
from typing import Final

from pets.bootstrap.stores import migrate
from pets.cli.console import Show, progress, say
from pets.cli.loading import load_pets
from pets.domain.pet import NewPet, PetType
from pets.domain.repository import Numbered
from pets.settings import Settings

_BATCH: Final = 1000

_DOGS: Final = """
    Ace Bailey Balu Bella Benny Biscuit Bonnie Bruno Buddy Charlie Chester Cooper Daisy Duke Ella
    Emma Fido Finn Freya Frieda Ginger Gus Hazel Henry Honey Hugo Jack Juno Lady Lassie Lucky Lucy
    Luna Maggie Max Molly Murphy Nala Ollie Oscar Otto Pablo Penny Pippa Poppy Rex Rocky Rosie Ruby
    Rufus Sadie Sam Scout Stella Teddy Toby Trixie Wanda Willow Zoë
"""
_CATS: Final = """
    Amber Amélie Angus Archie Basil Bob Casper Chloe Cleo Coco Dusty Earl Felix Figaro Fluffy
    George Ginger Gizmo Gracie Iris Ivy Jasper Jinx Kiki Leo Lilly Loki Luna Mango Maya Merlin Mia
    Mikesch Milo Mimi Minka Misty Mittens Mochi Mog Murr Nala Nico Oreo Oscar Pepper Pixel Pumpkin
    Romeo Salem Shadow Simba Smokey Socks Sooty Tiger Tilly Tom Ziggy
"""
_NAMES: Final = {PetType.DOG: _DOGS.split(), PetType.CAT: _CATS.split()}

# How many are 0, 1, 2, … years old, in proportion. Cats live longer than dogs.
_AGES: Final = {
    PetType.DOG: [75, 95, 95, 90, 85, 80, 80, 75, 70, 65, 55, 50, 40, 25, 15, 8, 4, 1],
    PetType.CAT: [80, 90, 85, 80, 75, 70, 65, 65, 60, 55, 50, 45, 45, 40, 30, 25, 15, 10, 5, 3, 1],
}


def made_up_pets(seed: int) -> Iterator[NewPet]:
    """Yield dogs and cats without end, which are always the same for the same seed."""
    random = Random(seed)  # noqa: S311  # It makes no secrets.
    while True:
        type_ = random.choice([*PetType])
        name = random.choice(_NAMES[type_])
        (age,) = random.choices(range(len(_AGES[type_])), _AGES[type_])
        yield NewPet(name=name, age=age, type=type_)


def seed_store(settings: Settings, number: int, seed: int) -> None:
    """Migrate the store and add this many pets, all or none. Raises as `load_pets` does."""
    migrate(settings)
    with progress("adding") as show:
        load_pets(settings, _batches(number, seed, show), done="added")
    say(f"added {number:,}")


async def _batches(number: int, seed: int, show: Show) -> AsyncGenerator[Numbered, None]:
    pets = enumerate(islice(made_up_pets(seed), number))
    done = 0
    while batch := list(islice(pets, _BATCH)):
        yield batch
        done += len(batch)
        show(done, number, done)
