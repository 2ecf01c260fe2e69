r"""`python -m bench.transfer`: a million pets into PostgreSQL and out again, beside `psql \copy` of the same rows."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from bench.database import database, postgresql
from bench.report import table

ROWS: Final = 1_000_000
TURNS: Final = 3
COPY: Final = r"\copy pets (name, age, type, created_at) from '{file}' csv header"
OUT: Final = r"\copy (select name, age, type, created_at at time zone 'UTC' from pets order by id) to '{file}' csv header"

COPIED: Final = r"`psql \copy`"

# The peak is told by the process itself: what the kernel tells of one that has ended begins with its parent's.
PETS: Final = [
    *(sys.executable, "-c"),
    (
        "import re, sys; from pets.cli.main import main; status = main(sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]); sys.exit(status)"
    ),
]


def run(command: Sequence[str], url: str) -> tuple[float, float | None]:
    """Return the seconds that a command takes and, of pets itself, the memory at its peak in MB."""
    environment = os.environ | {"PETS_DATABASE_URL": url, "PGTZ": "UTC"}
    began = time.perf_counter()
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    seconds = time.perf_counter() - began
    return seconds, int(done.stdout) * 1024 / 1e6 if command[0] == sys.executable else None


def main() -> None:
    taken: dict[str, list[tuple[float, float | None]]] = {}
    with postgresql() as server, tempfile.TemporaryDirectory() as folder:
        rows, lines, csv = (
            Path(folder, "rows.csv"),
            Path(folder, "pets.ndjson"),
            Path(folder, "pets.csv"),
        )
        with database(server, ROWS) as url:
            run(["psql", url, "--command", OUT.format(file=rows)], url)
            for file in (lines, csv):
                taken[f"`pets export`, {file.suffix[1:]}"] = [
                    run([*PETS, "export", "--output", str(file)], url)
                ]
        loads = {
            COPIED: ["psql", "--command", COPY.format(file=rows)],
            "`pets import`, ndjson": [*PETS, "import", str(lines)],
            "`pets import`, csv": [*PETS, "import", str(csv)],
            "`pets import --keep-ids`, csv": [*PETS, "import", "--keep-ids", str(csv)],
        }
        for _ in range(TURNS):
            for name, command in loads.items():
                with database(server, 0) as url:
                    taken.setdefault(name, []).append(
                        run([*command, url] if name == COPIED else command, url)
                    )
    by_copy = median(seconds for seconds, _ in taken[COPIED])
    print(f"{ROWS:,} pets, median of {TURNS} turns\n")
    for line in table(":command | seconds | pets/s | rate against \\copy | peak memory", (
        (name, f"{seconds:.1f}", f"{ROWS / seconds:,.0f}", f"{by_copy / seconds:.2f} ×" if "export" not in name else "",
         f"{max(peak or 0 for _, peak in runs):.0f} MB" if runs[0][1] else "")
        for name, runs in taken.items() for seconds in [median(seconds for seconds, _ in runs)]
    )):  # fmt: skip
        print(line)


if __name__ == "__main__":
    main()
