"""What was measured, as a page to read."""

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import ROWS
from bench.pythons import BASELINE, installed
from bench.results import SMALL, Bar, Results, bars
from bench.workloads import WORKLOADS

PACKAGES: Final = (
    *("litestar", "uvicorn", "uvloop", "httptools", "msgspec", "sqlalchemy", "asyncpg"),
    *("aiosqlite", "fastapi", "starlette", "pydantic"),
)


Row = tuple[object, ...]


def table(header: str, rows: Iterable[Row]) -> Iterator[str]:
    """Yield a table of Markdown that is also read well as it is.

    Columns marked with a colon are aligned to the left.
    """
    marked = header.split(" | ")
    lines = [[name.removeprefix(":") for name in marked]]
    lines.extend([str(value) for value in row] for row in rows)
    columns = []
    rules = []
    for name, *values in zip(marked, *lines, strict=True):
        width = max(map(len, values))
        is_left = name.startswith(":")
        columns.append(f"<{width}" if is_left else f">{width}")
        rules.append("-" * (width + 1) + ("-" if is_left else ":"))
    texts = [f"| {' | '.join(map(format, line, columns))} |" for line in lines]
    yield from (texts[0], f"|{'|'.join(rules)}|", *texts[1:], "")


def bar_table(all_bars: Iterable[Bar]) -> Iterator[str]:
    met = {True: "yes", False: "**no**"}
    rows = ((bar.what, bar.required, bar.measured, met[bar.met]) for bar in all_bars)
    yield from table(":what | required | measured | :met", rows)


def setting(postgresql_version: str) -> Iterator[str]:
    """Yield where and with what a run was made."""
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line for line in processors if line.startswith("model name"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    shown = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False)
    wrk = shown.stdout.split()[1]
    ours = installed("pets")
    packages = [f"{name} {ours['packages'][name]}" for name in PACKAGES]
    yield f"- **Date**: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield f"- **Python of the servers**: {ours['python']}"
    yield f"- **Machine**: {model.partition(': ')[2]}, {os.cpu_count()} cores, {memory:.0f} GiB"
    yield f"- **System**: {platform.system()} {platform.release()}"
    yield f"- **Database and load**: PostgreSQL {postgresql_version}, wrk {wrk}"
    yield f"- **Packages**: {', '.join(packages)}"
    if BASELINE:
        theirs = installed("before")
        version = theirs["packages"]["pets"]
        yield f"- **`before`**: pets {version} on Python {theirs['python']}"
    yield ""


def report(results: Results, postgresql: str, plot: str, *, quick: bool) -> Iterator[str]:
    yield "# Results\n"
    yield "Written by `make bench`; [README.md](README.md) says what is measured and how.\n"
    if quick:
        large = f"{results.large:,} rows stand for ten million"
        yield f"**A quick run**: one round of every load; {large}.\n"
    yield from setting(postgresql)

    yield "## The bars\n"
    yield from bar_table(bars(results))
    if not BASELINE:
        yield "No earlier version was measured (`BASELINE=`), so its bars are left out.\n"
    yield "One more, that memory does not grow, is what `make bench SOAK=1` is for.\n"
    yield f"![Requests a second by server and connections]({plot})\n"

    yield f"## Every load, {ROWS:,} pets\n"
    yield "In the loads named *same page*, every client asks for one and the same page.\n"
    yield from table(
        ":workload | connections | :server | requests/s | p50 ms | p99 ms | server CPU µs | "
        "PostgreSQL CPU µs | memory MB | failed",
        every_load(results),
    )

    yield "## Overload, `pets`\n"
    yield from table(
        ":workload | connections | good answers/s | rejections/s | p99 ms of the good | "
        "p99 ms of `/health/live` | memory MB | failed",
        every_overload(results),
    )

    yield f"## {SMALL:,} rows and {results.large:,} rows, `pets`\n"
    yield from table(
        ":workload | connections | rows | requests/s | p50 ms | p99 ms | PostgreSQL CPU µs",
        every_size(results),
    )

    yield "## What `count(*)` would cost\n"
    yield from table(
        "rows | count(*) ms | the kept count ms",
        ((f"{rows:,}", *map("{:.2f}".format, times)) for rows, times in results.counting.items()),
    )

    yield "## From start to first answer\n"
    starts = ((f"`{server}`", f"{results.start(server):.2f}") for server in results.starts)
    yield from table(":server | seconds", starts)


def every_load(results: Results) -> Iterator[Row]:
    cells = [cell for cell in results.runs if cell.rows == ROWS]
    for cell in sorted(cells, key=lambda cell: (WORKLOADS.index(cell.workload), cell.connections)):
        figures = results[cell]
        yield (
            cell.workload.name,
            cell.connections,
            f"`{cell.server}`",
            f"{figures.rate:,.0f}",
            f"{figures.p50:.2f}",
            f"{figures.p99:.2f}",
            f"{figures.server_cpu:.0f}",
            f"{figures.database_cpu:.0f}",
            f"{figures.memory:.0f}",
            f"{figures.failed:.2%}" if figures.failed else 0,
        )


def every_overload(results: Results) -> Iterator[Row]:
    for strain in results.overloads:
        figures = results.overload(strain)
        yield (
            strain.workload.name,
            f"{strain.connections:,}",
            f"{figures.good:,.0f}",
            f"{figures.rejected:,.0f}",
            f"{figures.p99:.0f}",
            f"{figures.health_p99:.0f}",
            f"{figures.memory:.0f}",
            f"{figures.failed:.0f}",
        )


def every_size(results: Results) -> Iterator[Row]:
    for cell in results.runs:
        if cell.rows != ROWS:
            figures = results[cell]
            yield (
                cell.workload.name,
                cell.connections,
                f"{cell.rows:,}",
                f"{figures.rate:,.0f}",
                f"{figures.p50:.3f}",
                f"{figures.p99:.2f}",
                f"{figures.database_cpu:.0f}",
            )
