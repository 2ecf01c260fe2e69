"""PostgreSQL's plan for finding a page."""

import re
from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from pets.adapters.sqlalchemy.postgresql import PostgreSQL
from pets.adapters.sqlalchemy.statements import search
from pets.domain.query import PetQuery

_SCAN: Final = re.compile(
    r"(?:Parallel )?((?:Bitmap |Index |Index Only |Seq )(?:Index |Heap )?Scan)"
    r"(?: Backward)?(?: using| on) (\w+)"
)


async def explain(
    connection: AsyncConnection, query: PetQuery, *, analyze: bool = False
) -> list[str]:
    """Return the lines of a page's plan, made with the same settings as in the repository.

    With `analyze` PostgreSQL also runs the query, and the plan shows what it cost.
    """
    compiled = search(query, PostgreSQL()).compile(dialect=connection.dialect)
    assert compiled.positiontup is not None
    await connection.exec_driver_sql("SET plan_cache_mode = force_custom_plan")
    values = tuple(compiled.params[name] for name in compiled.positiontup)
    options = "COSTS OFF, TIMING OFF, ANALYZE" if analyze else "COSTS OFF"
    result = await connection.exec_driver_sql(f"EXPLAIN ({options}) {compiled.string}", values)
    return [line for (line,) in result]


def scans(plan: Sequence[str]) -> list[str]:
    """Return the scans of the plan in its order: first that of the count, then that of the pets."""
    return [f"{kind} {name}" for kind, name in _SCAN.findall("\n".join(plan))]
