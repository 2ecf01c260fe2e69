"""What was measured, as a page to read."""

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import ROWS
from bench.results import SMALL, Bar, Results, bars

PACKAGES: Final = (
    *("litestar", "uvicorn", "uvloop", "httptools", "msgspec", "sqlalchemy", "asyncpg", "aiosqlite"),
    *("fastapi", "starlette", "pydantic"),
)


def table(header: str, rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a table of Markdown, to be read as it is too; columns marked with a colon are aligned to the left."""
    marked = header.split(" | ")
    lines = [[name.removeprefix(":") for name in marked], *([str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    columns = [f"<{width}" if name.startswith(":") else f">{width}" for name, width in zip(marked, widths, strict=True)]
    texts = [f"| {' | '.join(map(format, line, columns))} |" for line in lines]
    rules = ("-" * (int(column[1:]) + 1) + ("-" if column[0] == "<" else ":") for column in columns)
    yield from (texts[0], f"|{'|'.join(rules)}|", *texts[1:], "")


def bar_table(all_bars: Iterable[Bar]) -> Iterator[str]:
    rows = ((bar.what, bar.required, bar.measured, "yes" if bar.met else "**no**") for bar in all_bars)
    yield from table(":what | required | measured | :met", rows)


def setting(postgresql_version: str) -> Iterator[str]:
    """Yield where and with what a run was made."""
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    wrk = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout.split()[1]
    yield f"- **Date**: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield f"- **Machine**: {model.partition(': ')[2]}, {os.cpu_count()} cores, {memory:.0f} GiB of memory"
    yield f"- **System**: {platform.system()} {platform.release()}, Python {platform.python_version()}"
    yield f"- **Database and load**: PostgreSQL {postgresql_version}, wrk {wrk}"
    yield f"- **Packages**: {', '.join(f'{name} {version(name)}' for name in PACKAGES)}"
    yield ""


def report(results: Results, postgresql_version: str, plot: str, *, quick: bool) -> Iterator[str]:
    yield "# Results\n"
    yield "Written by `make bench`; [README.md](README.md) says what is measured and how to read it.\n"
    if quick:
        yield f"**A quick run**: short loads, each once; {results.large:,} rows stand for ten million.\n"
    yield from setting(postgresql_version)

    yield "## The bars\n"
    yield from bar_table(bars(results))
    yield "One more, that memory does not grow, is what `make bench SOAK=1` is for.\n"
    yield f"![Requests a second by server and connections]({plot})\n"

    yield f"## Every load, {ROWS:,} pets\n"
    yield from table(
        ":workload | connections | :server | requests/s | p50 ms | p99 ms | server CPU µs | PostgreSQL CPU µs | "
        "memory MB | failed",
        (
            (cell.workload.name, cell.connections, f"`{cell.server}`", f"{figures.rate:,.0f}", f"{figures.p50:.2f}",
             f"{figures.p99:.2f}", f"{figures.server_cpu:.0f}", f"{figures.database_cpu:.0f}",
             f"{figures.memory:.0f}", f"{figures.failed:.2%}" if figures.failed else 0)
            for cell in results.runs if cell.rows == ROWS for figures in [results[cell]]
        ),
    )  # fmt: skip

    yield f"## {SMALL:,} rows and {results.large:,} rows, `pets`\n"
    yield from table(
        ":workload | connections | rows | requests/s | p50 ms | p99 ms | PostgreSQL CPU µs",
        (
            (cell.workload.name, cell.connections, f"{cell.rows:,}", f"{figures.rate:,.0f}", f"{figures.p50:.3f}",
             f"{figures.p99:.2f}", f"{figures.database_cpu:.0f}")
            for cell in results.runs if cell.rows != ROWS for figures in [results[cell]]
        ),
    )  # fmt: skip

    yield "## What `count(*)` would cost\n"
    yield from table(
        "rows | count(*) ms | the kept count ms",
        ((f"{rows:,}", *(f"{time:.2f}" for time in times)) for rows, times in results.counting.items()),
    )

    yield "## From start to first answer\n"
    yield from table(
        ":server | seconds", ((f"`{server}`", f"{results.start(server):.2f}") for server in results.starts)
    )
