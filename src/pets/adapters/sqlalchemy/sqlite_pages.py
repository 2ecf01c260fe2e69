"""Pages from SQLite: the kept counts first, and then the pets by the way that they show as short.

The two ways, a walk and a gathering, are those of `postgresql_pages`.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime
from typing import Final

import aiosqlite

from pets.adapters.sqlalchemy.statements import Row, Rows
from pets.domain.pet import MAX_AGE, MIN_AGE
from pets.domain.query import PetQuery, PetSort

_EXPORT_ROWS: Final = 1000

_COUNTS: Final = """
    SELECT coalesce(sum(count) FILTER (WHERE {counted}), 0),
        coalesce(sum(count) FILTER (WHERE age = -1), 0)
    FROM pet_counts
"""
_COUNT_NAMES: Final = "SELECT count(*) FROM pets WHERE {filters}"
_PETS: Final = """
    SELECT id, name, age, type, created_at FROM pets
    WHERE {filters} AND {after} ORDER BY {order} LIMIT :page_limit
"""


async def read_page(driver: aiosqlite.Connection, query: PetQuery) -> tuple[int, Rows]:
    """Return the count of a query, and its first pets: one more than a page has, if any."""
    values = _values(query)
    if query.is_search:
        ((count,),) = await driver.execute_fetchall(_fill(_COUNT_NAMES, query), values)
        is_walk = False
    else:
        ((count, total),) = await driver.execute_fetchall(_fill(_COUNTS, query), values)
        is_walk = 10 * count**2 > query.limit * total
    if not query.limit:
        return count, []
    statement = _fill(_PETS, query, is_walk=is_walk)
    return count, _rows(await driver.execute_fetchall(statement, values))


async def export(driver: aiosqlite.Connection, query: PetQuery) -> AsyncGenerator[Rows, None]:
    """Yield the rows of all pets of a query."""
    statement = _fill(_PETS, query)
    async with driver.execute(statement, {**_values(query), "page_limit": -1}) as cursor:
        while rows := await cursor.fetchmany(_EXPORT_ROWS):
            yield _rows(rows)


def _fill(template: str, query: PetQuery, *, is_walk: bool = False) -> str:
    # With a plus before a column, SQLite does not search an index for it.
    plus = "+" if is_walk else ""
    has_age = query.age_min is not None or query.age_max is not None
    filters = []
    if query.type is not None:
        filters.append(f"{plus}type = :type")
    if has_age:
        filters.append(f"{plus}age BETWEEN :age_min AND :age_max")
    if query.is_search:
        filters.append("instr(casefold(name), :part) > 0")
    order = f"{query.sort} DESC, id DESC" if query.descending else f"{query.sort}, id"
    sign = "<" if query.descending else ">"
    position = f"({query.sort}, id) {sign} (:after_value, :after_id)"
    return template.format(
        filters=" AND ".join(filters) or "true",
        counted=" AND ".join(filters if has_age else [*filters, "age = -1"]),
        after="true" if query.after is None else position,
        order=order,
    )


def _values(query: PetQuery) -> Mapping[str, object]:
    after = query.after
    value = None if after is None else after.value
    return {
        "type": query.type,
        "age_min": MIN_AGE if query.age_min is None else query.age_min,
        "age_max": MAX_AGE if query.age_max is None else query.age_max,
        "part": (query.name or "").casefold(),
        "after_value": str(value) if query.sort is PetSort.CREATED_AT else value,
        "after_id": None if after is None else after.id,
        "page_limit": query.limit + 1,
    }


def _rows(rows: Iterable[Row]) -> Rows:
    """Give the rows real times, which SQLite keeps as text."""
    return [(*members, datetime.fromisoformat(time)) for *members, time in rows]
