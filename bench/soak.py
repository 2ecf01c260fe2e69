"""`make bench SOAK=1`: does memory grow? A mixed load on `pets` alone, for long."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from rich.progress import track

from bench import ROWS
from bench.database import database, main_process, postgresql, version
from bench.load import drive
from bench.processes import memory, served
from bench.report import bar_table, setting
from bench.results import Bar
from bench.workloads import MIXED

CONNECTIONS: Final = 64
SAMPLE_SECONDS: Final = 2
NOISE: Final = 1.01
"""What comes and goes with the requests that are just under way is not growth."""


def soak(seconds: int, path: Path) -> float:
    """Load for so many seconds, write and show what memory did, and return the share of requests that failed."""
    with ExitStack() as stack:
        url = stack.enter_context(postgresql())
        pets = stack.enter_context(database(url, ROWS))
        server = stack.enter_context(served("pets", pets))
        pool = stack.enter_context(ThreadPoolExecutor())
        process = main_process(pets)
        load = pool.submit(drive, server, MIXED, CONNECTIONS, seconds=seconds, postgresql=process)
        samples = []
        for _ in track(range(seconds // SAMPLE_SECONDS), "soaking"):
            time.sleep(SAMPLE_SECONDS)
            samples.append(memory(server.process.pid, "VmRSS"))
        figures = load.result()
        postgresql_version = version(url)
    quarter = len(samples) // 4
    second, third = (
        median(samples[quarter : 2 * quarter]),
        median(samples[2 * quarter : 3 * quarter]),
    )
    peak = max(figures.memory, *samples)
    bars = [
        Bar("memory of a worker at its peak", "at most 120 MB", f"{peak:.1f} MB", peak <= 120),
        Bar(
            "median memory in the third quarter against the second",
            "no growth",
            f"{third:.1f} MB against {second:.1f} MB",
            third <= second * NOISE,
        ),
    ]
    text = "\n".join(
        [
            "# Soak\n",
            f"`make bench SOAK=1`: a mixed load on `pets`, {CONNECTIONS} connections for {seconds} seconds.\n",
            f"{figures.rate:,.0f} requests/s, p50 {figures.p50:.2f} ms, p99 {figures.p99:.2f} ms.\n",
            *setting(postgresql_version),
            *bar_table(bars),
        ]
    )
    path.write_text(text)
    print(text)
    return figures.failed
