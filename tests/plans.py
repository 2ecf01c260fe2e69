"""The plans of the databases for finding a page."""

import re
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.listing import Shape, values_of
from pets.adapters.sqlalchemy.postgresql import fold_of, parameters_of_search
from pets.adapters.sqlalchemy.postgresql_pages import asked_queries, listing, search
from pets.adapters.sqlalchemy.postgresql_session import QUICK_SESSION, SEARCH_SESSION
from pets.adapters.sqlalchemy.sessions import DIALECT
from pets.adapters.sqlalchemy.sqlite_statements import counts, page
from pets.adapters.sqlalchemy.statements import compiled
from pets.domain.query import PetQuery

_SCAN: Final = re.compile(
    r"(?:Parallel )?((?:Bitmap |Index |Index Only |Seq )(?:Index |Heap )?Scan)"
    r"(?: Backward)?(?: using| on) (\w+)"
)


async def explain(url: str, query: PetQuery) -> list[str]:
    """Run a page's statement as the repository does, and return the lines of its plan."""
    session = SEARCH_SESSION if query.is_search else QUICK_SESSION
    driver = await asyncpg.connect(url, server_settings=session)
    try:
        shape = Shape.of(query)
        if not shape.is_kept:
            statement, names = compiled(search(shape, await fold_of(driver)), DIALECT)
            parameters = parameters_of_search(query)
            literals = [_literal(parameters[name]) for name in names]
        else:
            statement, names = compiled(listing(shape), DIALECT)
            arrays = asked_queries(shape).of([values_of(query)])
            literals = [_array(arrays[name]) for name in names]
        # EXPLAIN shows the generic plan only of a prepared statement.
        await driver.execute(f"PREPARE page AS {statement}")
        page = f"EXECUTE page ({', '.join(literals)})"
        await driver.execute(page)  # The first run of a session takes longer.
        plan = await driver.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {page}")
    finally:
        await driver.close()
    return [line for (line,) in plan]


async def explain_on_sqlite(url: str, query: PetQuery) -> list[str]:
    """Return the lines of SQLite's plans for counting pets, and for finding those of a page.

    They do not depend on values.
    """
    engine = create_config(parse_url(url)).get_engine()
    shape = Shape.of(query)
    lines = []
    async with engine.connect() as connection:
        for statement in (counts(shape), page(shape, walks=False)):
            sql = str(statement.compile(dialect=engine.dialect))
            nothing = (None,) * sql.count("?")
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", nothing)
            lines += [row.detail for row in plan]
    await engine.dispose()
    return lines


def scans(plan: Sequence[str]) -> list[str]:
    """Return the scans that were executed, in the order of the plan."""
    executed = [line for line in plan if "(never executed)" not in line]
    return [f"{kind} {name}" for kind, name in _SCAN.findall("\n".join(executed))]


def _literal(value: object) -> str:
    if isinstance(value, tuple):
        return f"'{{{','.join(map(str, value))}}}'"
    return "NULL" if value is None else f"'{value}'"


def _array(values: Any) -> str:  # Any: an array of one value of any type
    (value,) = values
    return "'{NULL}'" if value is None else f"""'{{"{value}"}}'"""
