"""The SQL that both databases share.

A row with a pet begins with the five columns of `pets`. A sixth has the count or the key.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import sqlalchemy as sa

from pets.adapters.sqlalchemy.tables import VERSION_TABLE, pet_counts, pet_keys, pets
from pets.domain.pet import NewPet, Pet
from pets.domain.query import PetQuery

Column = sa.ColumnElement[Any]  # Any: a name, a number or a time
Condition = sa.ColumnElement[bool]
Row = Sequence[Any]  # Any: what the columns of each statement hold
Rows = Sequence[Row]


def values(pet: NewPet | Pet) -> Row:
    """Return what the columns of `pets` hold of a pet, except its id."""
    return pet.name, pet.age, pet.type, pet.created_at


class Dialect(Protocol):
    """What the two databases write differently within a listing."""

    def in_code_point_order(self, column: Column) -> Column: ...

    def contains(self, name: Column, part: str) -> Condition:
        """Return whether the name contains the part, whatever the case of both."""
        ...


_sum: Final = sa.func.coalesce(sa.func.sum(pet_counts.c.count), sa.literal_column("0"))
_total: Final = sa.select(sa.cast(_sum, sa.BigInteger).label("count")).where(
    pet_counts.c.age == sa.literal_column("-1")
)

# The count and the pets come from one statement, so they are of one moment.
WALK: Final = (
    sa.select(pets, _total.scalar_subquery())
    .where(pets.c.id > sa.bindparam("after", type_=sa.BigInteger))
    .order_by(pets.c.id)
    .limit(sa.bindparam("limit"))
)
"""All pets by ascending id, each with the count of all."""


def search(query: PetQuery, dialect: Dialect) -> sa.Select[Any]:
    """Return the statement for a page: at most one pet more than the limit, each with the count.

    If there is no pet, one row has the count and nulls.
    """
    found = listing(query, dialect).limit(query.limit + 1).subquery()
    # PostgreSQL locks the tables in FROM first. TRUNCATE locks `pets` before `pet_counts` too.
    # In the opposite order the two could deadlock.
    one_row = sa.select(sa.literal_column("1")).subquery("one_row")
    page = sa.select(found, _count(query, dialect).scalar_subquery().label("count"))
    page = page.select_from(one_row.outerjoin(found, sa.true()))
    return page.order_by(*_order(query, _sort_key(query, found, dialect)))


def listing(query: PetQuery, dialect: Dialect) -> sa.Select[Any]:
    """Return the statement for all pets of a query, whatever its limit."""
    statement = sa.select(pets).where(*_conditions(query, dialect))
    source: sa.FromClause = pets
    if query.name is not None:
        # Without OFFSET, PostgreSQL would look for the part of a name in the order of an index,
        # because it cannot know how rare the part is. A walk over the whole index takes twenty
        # times as long as one over the table.
        source = statement.offset(0).subquery()
        statement = sa.select(source)
    key = _sort_key(query, source, dialect)
    if query.after is not None:
        value = sa.literal(query.after.value, pets.c[query.sort].type)
        place, after = sa.tuple_(*key), sa.tuple_(value, query.after.id)
        statement = statement.where(place < after if query.descending else place > after)
    return statement.order_by(*_order(query, key))


def _count(query: PetQuery, dialect: Dialect) -> sa.Select[Any]:
    if query.is_filtered:
        count = sa.select(sa.func.count().label("count")).select_from(pets)
        return count.where(*_conditions(query, dialect))
    if query.type is not None:
        return _total.where(pet_counts.c.type == query.type)
    return _total


def _conditions(query: PetQuery, dialect: Dialect) -> Sequence[Condition]:
    conditions: list[Condition] = []
    if query.type is not None:
        conditions.append(pets.c.type == query.type)
    if query.age_min is not None:
        conditions.append(pets.c.age >= query.age_min)
    if query.age_max is not None:
        conditions.append(pets.c.age <= query.age_max)
    if query.name is not None:
        conditions.append(dialect.contains(pets.c.name, query.name))
    return conditions


def _sort_key(query: PetQuery, source: sa.FromClause, dialect: Dialect) -> Sequence[Column]:
    return [dialect.in_code_point_order(source.c[query.sort]), source.c.id]


def _order(query: PetQuery, key: Sequence[Column]) -> Sequence[Column]:
    return [column.desc() for column in key] if query.descending else key


_oldest_keys: Final = (
    sa.select(pet_keys.c.key)
    .where(pet_keys.c.created_at <= sa.bindparam("expired", type_=pet_keys.c.created_at.type))
    .order_by(pet_keys.c.created_at)
    .limit(sa.bindparam("number"))
    .with_for_update(skip_locked=True)
)
CLEAR_KEYS: Final = sa.delete(pet_keys).where(pet_keys.c.key.in_(_oldest_keys))

VERSION: Final = sa.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  # a constant

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
