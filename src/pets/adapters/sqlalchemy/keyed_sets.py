"""Sets of pets that are added once: how their pets are kept in `pet_keys`.

The first pet of a set is kept under the key of the set, and each other one under a key that is
derived from it. So a set is added if the key of its first pet is free.
"""

from collections.abc import Collection, Mapping, Sequence

from pets.adapters.sqlalchemy.statements import Row, Rows, pets_of
from pets.domain.pet import NewPet, Pet
from pets.domain.repository import AddedOnce

KeyedSets = Mapping[str, Sequence[NewPet]]


def key_of(key: str, place: int) -> str:
    """Return the key of a pet of a set. No key that callers give has a line break."""
    return f"{key}\n{place}" if place else key


def keys_of(sets: KeyedSets) -> list[tuple[str]]:
    """Return rows of the keys of all pets, and of one more for each set, which shows its end."""
    return [(key_of(key, place),) for key, new in sets.items() for place in range(len(new) + 1)]


def added_sets(sets: KeyedSets, rows: Rows, claimed: Collection[str]) -> dict[str, AddedOnce]:
    """Return what was added under the keys of the sets, of which some were claimed just now."""
    by_key = {row["key"]: (row, pet) for row, pet in zip(rows, pets_of(rows), strict=True)}
    return {
        key: AddedOnce(_pets(by_key, key, len(new) + 1), key not in claimed)
        for key, new in sets.items()
    }


def _pets(by_key: Mapping[str, tuple[Row, Pet]], key: str, most: int) -> list[Pet]:
    first, pet = by_key[key]
    pets = [pet]
    for place in range(1, most):
        row, pet = by_key.get(key_of(key, place), (None, pet))
        # A row of another time is left over from a set whose key was forgotten.
        if row is None or row["claimed_at"] != first["claimed_at"]:
            break
        pets.append(pet)
    return pets
