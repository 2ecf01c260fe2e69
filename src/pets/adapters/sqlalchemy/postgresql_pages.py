"""Pages from PostgreSQL: one statement answers any number of listings of one shape.

The shape of a query is everything about it but its values: its filters, its order, and whether it
begins after a position. Each shape has one statement, which PostgreSQL plans once a session.
Its parameters are arrays with a value for each query, so it is the same for any number of queries.

The count of a listing is the sum of the counts that triggers keep (docs/decisions/0007).
It also tells which of two ways to the pets is short:

- Walk: read the index of the order, and pass over pets that the filters leave out. If `count` of
  `total` pets pass, that reads about `page_limit * total / count` entries.
- Gather: read the pets that pass, by the index of ages or types, and sort them. That reads `count`
  pets, each of which takes about ten times as long as an entry of a walk.

The statement has both ways, and runs the one that is shorter. So its time does not depend on
statistics, and a plan cannot become wrong (docs/decisions/0017).
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import asyncpg

from pets.adapters.sqlalchemy.statements import TYPES, Row
from pets.domain.pet import MAX_AGE, MIN_AGE, Pet
from pets.domain.query import PetQuery, PetSort
from pets.domain.repository import PetPage

# An array for each member of the queries. A member that no query of the shape has is not read.
_ASKED: Final = """
    unnest(
        $1::bigint[], $2::text[], $3::smallint[], $4::smallint[], $5::{value_type}[], $6::bigint[]
    ) WITH ORDINALITY
        AS asked (page_limit, type, age_min, age_max, after_value, after_id, position)
"""

# The count of all pets. `pets AS locked` reads nothing. It locks `pets` before `pet_counts`, as
# TRUNCATE does. In the opposite order the two could deadlock.
_TOTAL: Final = """
    LEFT JOIN pets AS locked ON false
    CROSS JOIN (
        SELECT coalesce(sum(count), 0)::bigint AS count FROM pet_counts WHERE age = -1
    ) AS total
"""

# A page is one row with an array for each column, because that costs less than a row for each pet.
COLUMNS: Final = """
    array_agg(id), array_agg(name), array_agg(age), array_agg(type),
    array_agg(created_at AT TIME ZONE 'UTC')
"""

_ALL: Final = f"""
    SELECT asked.position, total.count, page.*
    FROM {_ASKED} {_TOTAL}
    CROSS JOIN LATERAL (
        SELECT {COLUMNS}
        FROM (
            SELECT * FROM pets WHERE {{after}} ORDER BY {{order}} LIMIT asked.page_limit
        ) AS walk
    ) AS page
"""  # noqa: S608  # made of constants

# Numbers are compared as float8, because the squares of large counts do not fit into bigint.
# OFFSET 0 has PostgreSQL gather pets before it sorts them. Otherwise it might walk here too.
_CHOSEN: Final = f"""
    SELECT asked.position, chosen.count, page.*
    FROM {_ASKED} {_TOTAL}
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(count), 0)::bigint AS count FROM pet_counts WHERE {{counted}}
    ) AS chosen
    CROSS JOIN LATERAL (
        SELECT 10 * chosen.count::float8 ^ 2 <= asked.page_limit * total.count::float8 AS few
    ) AS are
    CROSS JOIN LATERAL (
        SELECT {COLUMNS}
        FROM (
            (
                SELECT * FROM pets
                WHERE {{walked}} AND {{after}} AND NOT are.few
                ORDER BY {{order}} LIMIT asked.page_limit
            )
            UNION ALL
            (
                SELECT *
                FROM (SELECT * FROM pets WHERE {{filters}} AND are.few OFFSET 0) AS gathered
                WHERE {{after}} ORDER BY {{order}} LIMIT asked.page_limit
            )
        ) AS walk_or_gathered
    ) AS page
"""  # noqa: S608  # made of constants

_SORT_COLUMNS: Final = {
    PetSort.ID: ("id", "bigint"),
    PetSort.NAME: ('name COLLATE "C"', "text"),
    PetSort.AGE: ("age", "smallint"),
    PetSort.CREATED_AT: ("created_at", "timestamp"),
}


class Shape(NamedTuple):
    """What queries must have in common to be answered by one statement."""

    has_type: bool
    has_age: bool
    sort: PetSort
    descending: bool
    has_position: bool

    @classmethod
    def of(cls, query: PetQuery) -> "Shape":
        return cls(
            query.type is not None,
            query.age_min is not None or query.age_max is not None,
            query.sort,
            query.descending,
            query.after is not None,
        )

    def fill(self, template: str, *filters: str) -> str:
        """Return a statement for this shape. It may have more filters than those of the shape."""
        types = ["type = asked.type"] if self.has_type else []
        ages = ["age BETWEEN asked.age_min AND asked.age_max"] if self.has_age else []
        walked_ages = ages
        if ages and self.has_position and self.sort is PetSort.AGE:
            # The position is one end of the ages. If both ends were named as well, PostgreSQL
            # would begin a descending walk at the highest age.
            walked_ages = [f"age {'>= asked.age_min' if self.descending else '<= asked.age_max'}"]
        column, value_type = _SORT_COLUMNS[self.sort]
        return template.format(
            filters=" AND ".join([*types, *ages, *filters]) or "true",
            walked=" AND ".join([*types, *walked_ages]),
            counted=" AND ".join([*types, *(ages or ["age = -1"])]),
            after=self._after(column),
            order=f"{column} DESC, id DESC" if self.descending else f"{column}, id",
            value_type=value_type,
        )

    def _after(self, column: str) -> str:
        sign = "<" if self.descending else ">"
        if not self.has_position:
            return "true"
        if self.sort is PetSort.ID:
            return f"id {sign} asked.after_id"
        value = "asked.after_value"
        if self.sort is PetSort.CREATED_AT:
            value += " AT TIME ZONE 'UTC'"
        return f"({column}, id) {sign} ({value}, asked.after_id)"


@cache
def listing(shape: Shape) -> str:
    """Return the statement for any number of listings of a shape."""
    is_filtered = shape.has_type or shape.has_age
    return shape.fill(_CHOSEN if is_filtered else _ALL)


def asked(query: PetQuery) -> Row:
    """Return the members of a query, in the order of the parameters."""
    return (
        # One pet more shows that there is another page. A page without pets has no other page.
        query.limit + 1 if query.limit else 0,
        query.type,
        MIN_AGE if query.age_min is None else query.age_min,
        MAX_AGE if query.age_max is None else query.age_max,
        None if query.after is None else query.after.value,
        None if query.after is None else query.after.id,
    )


async def read_listings(
    driver: asyncpg.Connection, queries: Sequence[PetQuery]
) -> dict[PetQuery, PetPage]:
    """Return the pages of queries that are not searches."""
    by_shape: dict[Shape, list[PetQuery]] = {}
    for query in queries:
        by_shape.setdefault(Shape.of(query), []).append(query)
    pages = {}
    for shape, alike in by_shape.items():
        arrays = zip(*map(asked, alike), strict=True)
        for position, *row in await driver.fetch(listing(shape), *arrays):
            query = alike[position - 1]
            pages[query] = page_of(query, row)
    return pages


def page_of(query: PetQuery, row: Row) -> PetPage:
    """Return the page of a row with the count and the arrays of `COLUMNS`."""
    count, ids, names, ages, types, times = row
    if ids is None:  # array_agg() of no rows
        return PetPage(count, [])
    kinds = map(TYPES.__getitem__, types)
    return PetPage.cut(query, count, list(map(Pet, ids, names, ages, kinds, times)))
