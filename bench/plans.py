"""`python -m bench.plans`: how PostgreSQL finds each page of ten million pets, and how long that takes."""

import asyncio
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bench.database import database, postgresql
from pets.adapters.dialects import PostgreSQL
from pets.adapters.engine import create_config, parse_url
from pets.adapters.sqlalchemy import SQLAlchemyPetRepository, search
from pets.domain.pet import PetType
from pets.domain.query import PetQuery, PetSort

ROWS: Final = 10_000_000
RESULTS: Final = Path(__file__).with_name("plans.md")
FILTERS: Final = {
    "none": PetQuery(),
    "type=dog": PetQuery(type=PetType.DOG),
    "age_min=99": PetQuery(age_min=99),
    "age_min=5": PetQuery(age_min=5),
    "type=dog&age_min=99": PetQuery(type=PetType.DOG, age_min=99),
    "name=1234567": PetQuery(name="1234567"),
    "name=9": PetQuery(name="9"),
    "type=dog&age_max=5&name=77": PetQuery(type=PetType.DOG, age_max=5, name="77"),
}
_SCAN: Final = re.compile(
    r"((?:Parallel )?(?:Bitmap |Index |Index Only |Seq )(?:Index |Heap )?Scan(?: Backward)?)(?: using (\w+)| on (\w+))"
)


async def explain(connection: AsyncConnection, query: PetQuery) -> list[str]:
    """Return PostgreSQL's plan of a page, and what it took, line by line; planned as the repository has it planned."""
    compiled = search(query, PostgreSQL()).compile(dialect=connection.dialect)
    assert compiled.positiontup is not None
    await connection.exec_driver_sql("SET plan_cache_mode = force_custom_plan")
    values = tuple(compiled.params[name] for name in compiled.positiontup)
    result = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {compiled.string}", values)
    return [line for (line,) in result]


def scans(plan: Sequence[str]) -> list[str]:
    """Return how tables and indexes are read, in the order of the plan: first for the count, then for the pets."""
    return [f"{kind} {index or table}" for kind, index, table in _SCAN.findall("\n".join(plan))]


def milliseconds(plan: Sequence[str]) -> float:
    return float(re.findall(r"Execution Time: ([\d.]+) ms", "\n".join(plan))[0])


async def measure(url: str) -> list[str]:
    engine = create_config(parse_url(url), statement_seconds=None).get_engine()
    repository = SQLAlchemyPetRepository(engine)
    lines = [
        "| filter | sort | first page, ms | last page, ms | for the count | for the pets |",
        "|---|---|---:|---:|---|---|",
    ]
    async with engine.connect() as connection:
        for name, filters in FILTERS.items():
            for sort in (f"{sign}{sort}" for sort in PetSort for sign in ("", "-")):
                query = replace(filters, sort=PetSort(sort.removeprefix("-")), descending=sort.startswith("-"))
                backwards = await repository.page(replace(query, descending=not query.descending))
                last = query.following(backwards.items[-1]) if backwards.items else query
                plans = [[await explain(connection, page) for _ in range(3)] for page in (query, last)]
                times = [f"{median(map(milliseconds, some)):,.2f}" for some in plans]
                count, *pets = [scan for scan in scans(plans[0][0]) if True]
                lines.append(f"| {name} | {sort} | {' | '.join(times)} | {count} | {', '.join(pets)} |")
                print(lines[-1])
    await engine.dispose()
    return lines


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with postgresql() as server, database(server, rows) as url:
        table = asyncio.run(measure(url))
    title = f"# Plans\n\n`python -m bench.plans`: pages of 20 from {rows:,} pets, as PostgreSQL finds them.\n\n"
    RESULTS.write_text(title + "\n".join(table) + "\n")


if __name__ == "__main__":
    main()
