"""PostgreSQL's plan for finding a page."""

import re
from collections.abc import Sequence
from typing import Final

import asyncpg

from pets.adapters.sqlalchemy.postgresql_pages import Shape, asked, listing
from pets.adapters.sqlalchemy.postgresql_search import SEARCH, lone
from pets.adapters.sqlalchemy.postgresql_session import QUICK_SESSION, SEARCH_SESSION
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
        if query.is_search:
            statement, values = await lone(driver, SEARCH, query)
            literals = [_literal(value) for value in values]
        else:
            statement = listing(Shape.of(query))
            literals = [_array(value) for value in asked(query)]
        # EXPLAIN shows the generic plan only of a prepared statement.
        await driver.execute(f"PREPARE page AS {statement}")
        page = f"EXECUTE page ({', '.join(literals)})"
        await driver.execute(page)  # The first run of a session takes longer.
        plan = await driver.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {page}")
    finally:
        await driver.close()
    return [line for (line,) in plan]


def scans(plan: Sequence[str]) -> list[str]:
    """Return the scans that were executed, in the order of the plan."""
    executed = [line for line in plan if "(never executed)" not in line]
    return [f"{kind} {name}" for kind, name in _SCAN.findall("\n".join(executed))]


def _literal(value: object) -> str:
    return "NULL" if value is None else f"'{value}'"


def _array(value: object) -> str:
    return "'{NULL}'" if value is None else f"""'{{"{value}"}}'"""
