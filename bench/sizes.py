"""`python -m bench.sizes`: how much of a disk pets take, in the table and in each index."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import asyncpg

from bench.database import database, postgresql

ROWS: Final = 10_000_000
RESULTS: Final = Path(__file__).with_name("sizes.md")
SIZES: Final = """
    SELECT relname, pg_relation_size(oid)
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
        AND pg_relation_size(oid) > 1000000
    ORDER BY relkind DESC, 2 DESC
"""


async def sizes(url: str) -> list[tuple[str, int]]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(SIZES)
    await connection.close()
    return [(name, size) for name, size in rows]


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with postgresql() as server, database(server, number) as url:
        found = asyncio.run(sizes(url))
    lines = [
        "# Sizes\n",
        f"`python -m bench.sizes`: {number:,} pets with names of 5 to 12 characters, just filled in.\n",
        "| table or index | MB | bytes a pet |",
        "|---|--:|--:|",
    ]
    for name, size in [*found, ("all", sum(size for _, size in found))]:
        lines.append(f"| {name} | {size / 1e6:,.0f} | {size / number:.0f} |")
    text = "\n".join([*lines, ""])
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
