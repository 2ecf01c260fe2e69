"""`python -m bench.plans`: how PostgreSQL finds each page of ten million pets, and how long that takes."""

import asyncio
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from bench.database import database, postgresql
from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.domain.pet import PetType
from pets.domain.query import PetQuery, PetSort
from tests.plans import explain, scans

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


def milliseconds(plan: Sequence[str]) -> float:
    return float(re.findall(r"Execution Time: ([\d.]+) ms", "\n".join(plan))[0])


async def measure(url: str) -> list[str]:
    config = create_config(parse_url(url), is_for_searches=True)
    engine = config.get_engine()
    repository = SQLAlchemyPetRepository(engine)
    lines = [
        "| filter | sort | first page, ms | last page, ms | for the count | for the pets |",
        "|---|---|---:|---:|---|---|",
    ]
    for name, filters in FILTERS.items():
        for sort in (f"{sign}{sort}" for sort in PetSort for sign in ("", "-")):
            query = replace(
                filters, sort=PetSort(sort.removeprefix("-")), descending=sort.startswith("-")
            )
            (backwards,) = await repository.pages([replace(query, descending=not query.descending)])
            last = query.following(backwards.items[-1]) if backwards.items else query
            plans = [[await explain(url, page) for _ in range(3)] for page in (query, last)]
            times = [f"{median(map(milliseconds, some)):,.2f}" for some in plans]
            count, *pets = scans(plans[0][0])
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
