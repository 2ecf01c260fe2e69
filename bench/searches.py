"""`python -m bench.searches [ROWS]`: what the index of names gives to searches, and takes from adding.

It needs a PostgreSQL with the extension pg_trgm, which PETS_BENCH_DATABASE_URL names.
"""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from bench.database import MADE_UP, database, execute, postgresql
from bench.load import Figures, drive
from bench.processes import Server, leave_first_core, served
from bench.report import table
from bench.workloads import CREATE, SEED, Workload, listing

ROWS: Final = 10_000_000
RESULTS: Final = Path(__file__).with_name("searches.md")
LETTERS: Final = "abcdefghijklmnop"
SEARCHES: Final = 500
CONNECTIONS: Final = 64
ROUNDS: Final = 8
SECONDS: Final = 2
SIZE: Final = "SELECT pg_relation_size('pets_by_part_of_name') / 1000000"


def parts(length: int) -> list[str]:
    """Return parts of names that differ from one another."""
    random = Random(SEED)
    return ["".join(random.choices(LETTERS, k=length)) for _ in range(SEARCHES)]


def searches(length: int) -> Workload:
    requests = [listing(f"name={part}") for part in parts(length)]
    return Workload(f"{length} letters", lambda _: requests, ("pets",))


def matches(url: str, length: int) -> int:
    """Return how many names hold such a part, as a median of ten."""
    counts = [
        execute(url, f"SELECT count(*) FROM pets WHERE name LIKE '%{part}%'")
        for part in parts(length)[:10]
    ]
    return int(median(counts))


def index_names(url: str) -> float:
    """Make the index, and return how many seconds it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pets", "index-names"]
    subprocess.run(command, env=os.environ | {"PETS_DATABASE_URL": url}, check=True)
    return time.monotonic() - began


def creating(with_index: Server, without: Server) -> list[tuple[Figures, Figures]]:
    """Return the figures of both, in rounds in which they take turns."""
    rounds = []
    for _ in range(ROUNDS):
        one, other = (
            drive(server, CREATE, CONNECTIONS, seconds=SECONDS, postgresql=None)
            for server in (with_index, without)
        )
        rounds.append((one, other))
    return rounds


def main() -> None:
    leave_first_core()
    number = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with ExitStack() as stack:
        server = stack.enter_context(postgresql())
        plain, indexed = (
            stack.enter_context(database(server, number, name=MADE_UP)) for _ in range(2)
        )
        seconds = index_names(indexed)
        with_index = stack.enter_context(served("pets", indexed))
        found = []
        for length in (4, 3):
            workload = searches(length)
            figures = drive(with_index, workload, 1, seconds=10, postgresql=None)
            found.append(
                (
                    workload.name,
                    f"{matches(indexed, length):,}",
                    f"{figures.p50:.1f}",
                    f"{figures.p99:.1f}",
                )
            )
        rounds = creating(with_index, stack.enter_context(served("pets", plain)))
        size = execute(indexed, SIZE)
        version = execute(server, "SHOW server_version")
    ratio = median(own.rate / other.rate for own, other in rounds)
    rates = [median(each.rate for each in column) for column in zip(*rounds, strict=True)]
    lines = [
        "# Searches\n",
        f"`python -m bench.searches`: {number:,} pets on PostgreSQL {version}.",
        "Their names have 5 to 12 letters from a to p.",
        f"`pets index-names` took {seconds:.0f} s, and the index has {size:,} MB.\n",
        f"One client searches for {SEARCHES} parts of names.",
        "Each answer has the first 20 pets, and counts all that match.\n",
        *table(":part | matches | p50 ms | p99 ms", found),
        f"{CONNECTIONS} clients create pets, {ROUNDS} rounds of {SECONDS} seconds in turns:",
        f"{rates[0]:,.0f} a second with the index, and {rates[1]:,.0f} without it.",
        f"The median of the ratios is {ratio:.2f}.",
        "",
    ]
    text = "\n".join(lines)
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
