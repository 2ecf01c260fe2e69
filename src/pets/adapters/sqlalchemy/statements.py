"""The SQL that both databases share, and what its rows hold.

A row with a pet begins with the five columns of `pets`. A sixth has the key.
"""

from collections.abc import Sequence
from typing import Any, Final

from pets.adapters.sqlalchemy.tables import SHARED_VERSION_TABLE, VERSION_TABLE
from pets.domain.pet import NewPet, Pet, PetType

Row = Sequence[Any]  # Any: what the columns of each statement hold
Rows = Sequence[Row]

TYPES: Final = {str(kind): kind for kind in PetType}
"""The type of a pet by its text. It costs less than a call of `PetType`."""


def values(pet: NewPet | Pet) -> Row:
    """Return what the columns of `pets` hold of a pet, except its id."""
    return pet.name, pet.age, pet.type, pet.created_at


def pets_of(rows: Rows) -> list[Pet]:
    """Return the pets with which the rows begin."""
    return [Pet(row[0], row[1], row[2], TYPES[row[3]], row[4]) for row in rows]


VERSION: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608  # a constant
SHARED_VERSION: Final = f"SELECT version_num FROM {SHARED_VERSION_TABLE}"  # noqa: S608  # a constant

REFUSED: Final = """
    SELECT number
    FROM (
        SELECT number, id, row_number() OVER (PARTITION BY id ORDER BY number) AS nth
        FROM staged WHERE id IS NOT NULL
    ) AS s
    WHERE nth > 1 OR EXISTS (SELECT 1 FROM pets WHERE pets.id = s.id)
    ORDER BY number
"""
"""The numbers of the staged pets whose id is taken, by a pet of the store or by one before it."""
