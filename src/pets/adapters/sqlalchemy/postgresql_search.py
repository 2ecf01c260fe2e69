"""Searches for a part of a name, and exports, in PostgreSQL: one statement for each.

They read the whole table, or all that their other filters leave of it. Their plans are made for
their values, in sessions that always do that.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import asyncpg

from pets.adapters.sqlalchemy.commit import transaction
from pets.adapters.sqlalchemy.postgresql_pages import COLUMNS, Shape, asked, page_of
from pets.adapters.sqlalchemy.statements import Rows
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage

_EXPORT_ROWS: Final = 1000
_EXPORT_SECONDS: Final = 60
"""How long an export waits for the next rows. Few of many pets may match."""

# The members of one query, as `postgresql_pages` has them for many. PostgreSQL takes them for
# constants, and plans accordingly.
_ASKED_ALONE: Final = """
    (
        SELECT $1::bigint AS page_limit, $2::text AS type,
            $3::smallint AS age_min, $4::smallint AS age_max,
            $5::{value_type} AS after_value, $6::bigint AS after_id, $7::text AS pattern
    ) AS asked
"""

# Without OFFSET 0, PostgreSQL would look for the part of a name in the order of an index, because
# it cannot know how rare the part is. That takes twenty times as long as reading the table.
SEARCH: Final = f"""
    SELECT chosen.count, page.*
    FROM {_ASKED_ALONE}
    CROSS JOIN LATERAL (SELECT count(*) FROM pets WHERE {{filters}}) AS chosen
    CROSS JOIN LATERAL (
        SELECT {COLUMNS}
        FROM (
            SELECT * FROM (SELECT * FROM pets WHERE {{filters}} OFFSET 0) AS gathered
            WHERE {{after}} ORDER BY {{order}} LIMIT asked.page_limit
        ) AS found
    ) AS page
"""  # noqa: S608  # made of constants

_EXPORT: Final = f"""
    SELECT id, name, age, chosen.type, created_at AT TIME ZONE 'UTC'
    FROM {_ASKED_ALONE}
    CROSS JOIN LATERAL (SELECT * FROM pets WHERE {{filters}} AND {{after}}) AS chosen
    ORDER BY {{order}}
"""  # noqa: S608  # made of constants


_HAS_ICU: Final = "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu')"


async def search(driver: asyncpg.Connection, query: PetQuery) -> PetPage:
    """Return the page of a search."""
    statement, values = await lone(driver, SEARCH, query)
    (row,) = await driver.fetch(statement, *values)
    return page_of(query, row)


async def export(driver: asyncpg.Connection, query: PetQuery) -> AsyncGenerator[Rows, None]:
    """Yield the rows of all pets of a query."""
    statement, values = await lone(driver, _EXPORT, query)
    async with transaction(driver):
        cursor = await driver.cursor(statement, *values)
        while rows := await cursor.fetch(_EXPORT_ROWS, timeout=_EXPORT_SECONDS):
            yield rows


async def lone(
    driver: asyncpg.Connection, template: str, query: PetQuery
) -> tuple[str, Sequence[object]]:
    """Return the statement and the values for one query, which may have a part of a name."""
    part = re.sub(r"([\\%_])", r"\\\1", query.name or "")
    filters = []
    if query.is_search:
        folded = await _folded(driver)
        filters.append(f"{folded.format('name')} LIKE {folded.format('asked.pattern')}")
    return Shape.of(query).fill(template, *filters), (*asked(query), f"%{part}%")


async def _folded(driver: asyncpg.Connection) -> str:
    """Return the SQL that folds the case of a text `{}`, as well as the server can."""
    if driver.get_server_version() >= (18,):
        return "casefold({} COLLATE pg_unicode_fast)"
    if await driver.fetchval(_HAS_ICU):
        # Of the two, upper() is closer, because it makes SS of ß and has one sigma.
        return 'upper({} COLLATE "und-x-icu")'
    return "upper({})"
