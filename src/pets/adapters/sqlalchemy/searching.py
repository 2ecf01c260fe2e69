"""The statements for what a query asks for."""

from typing import Any, Final

import sqlalchemy as sa

from pets.adapters.sqlalchemy.dialects import Dialect
from pets.adapters.sqlalchemy.tables import pet_counts, pets
from pets.domain.query import PetQuery

TOTAL: Final = sa.select(
    sa.cast(
        sa.func.coalesce(sa.func.sum(pet_counts.c.count), sa.literal_column("0")), sa.BigInteger
    ).label("count")
)


def _chosen(query: PetQuery, dialect: Dialect) -> list[sa.ColumnElement[bool]]:
    conditions = []
    if query.type is not None:
        conditions.append(pets.c.type == query.type)
    if query.age_min is not None:
        conditions.append(pets.c.age >= query.age_min)
    if query.age_max is not None:
        conditions.append(pets.c.age <= query.age_max)
    if query.name is not None:
        conditions.append(dialect.name_contains(query.name))
    return conditions


def listing(query: PetQuery, dialect: Dialect) -> sa.Select[Any]:
    """Return the statement for all pets of a query, whatever its limit."""
    chosen = sa.select(pets).where(*_chosen(query, dialect))
    # OFFSET keeps PostgreSQL from looking for a part of a name in the order of an index: it cannot know how seldom that
    # is, and a walk over the whole index takes twenty times as long as one over the table.
    source = pets if query.name is None else chosen.offset(0).subquery()
    found = chosen if query.name is None else sa.select(source)
    order = [dialect.in_code_point_order(source.c[query.sort]), source.c.id]
    if query.after:
        here = sa.tuple_(*order)
        there = sa.tuple_(sa.literal(query.after.value, pets.c[query.sort].type), query.after.id)
        found = found.where(here < there if query.descending else here > there)
    return found.order_by(*(column.desc() if query.descending else column for column in order))


def search(query: PetQuery, dialect: Dialect) -> sa.Select[Any]:
    """Return the statement for a page: rows of the count and a pet, one more than the limit.

    Without any pet it is one row, of the count alone.
    """
    if query.is_filtered:
        count = (
            sa.select(sa.func.count().label("count"))
            .select_from(pets)
            .where(*_chosen(query, dialect))
        )
    elif query.type is not None:
        count = TOTAL.where(pet_counts.c.type == query.type)
    else:
        count = TOTAL
    found = listing(query, dialect).limit(query.limit + 1).subquery()
    order = [dialect.in_code_point_order(found.c[query.sort]), found.c.id]
    # The pets are in FROM, which PostgreSQL locks first, and TRUNCATE locks them first too. In the
    # opposite order the two could deadlock.
    a_row = sa.select(sa.literal_column("1")).subquery("a_row")
    return (
        sa.select(count.scalar_subquery().label("count"), found)
        .select_from(a_row.outerjoin(found, sa.true()))
        .order_by(*(column.desc() if query.descending else column for column in order))
    )
