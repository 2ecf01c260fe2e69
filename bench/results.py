"""What a run has measured, and what it says of the bars."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple, Self

from bench import ROWS
from bench.load import CREATE, CREATE_ONCE, LIST_20, WORKLOADS, Figures, Workload

SMALL = 1000


class Cell(NamedTuple):
    workload: Workload
    connections: int
    server: str
    rows: int = ROWS


@dataclass
class Results:
    large: int
    """The rows of the largest table."""
    runs: dict[Cell, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    counting: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By rows: milliseconds of count(*), and of the sum of the kept counts."""
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from a process's start to its first answer."""

    def __getitem__(self, cell: Cell) -> Figures:
        return Figures.median(self.runs[cell])

    def start(self, server: str) -> float:
        return median(self.starts[server])

    @property
    def failed(self) -> float:
        """The largest share of failed requests under any load."""
        return max(figures.failed for runs in self.runs.values() for figures in runs)


@dataclass(frozen=True)
class Bar:
    what: str
    required: str
    measured: str
    met: bool

    @classmethod
    def at_least(cls, what: str, bound: float, ratio: float) -> Self:
        return cls(what, f"at least {bound:g} ×", f"{ratio:.2f} ×", ratio >= bound)

    @classmethod
    def at_most(cls, what: str, bound: float, ratio: float) -> Self:
        return cls(what, f"at most {bound:g} ×", f"{ratio:.2f} ×", ratio <= bound)


def bars(results: Results) -> Iterator[Bar]:
    """Yield every bar of the issue that one run can answer; SOAK=1 answers the other."""
    for workload, bounds in (
        (LIST_20, {"asyncpg": 1.6, "fastapi": 7, "ceiling": 0.75}),
        (CREATE, {"asyncpg": 1.5, "fastapi": 5, "ceiling": 0.7}),
    ):
        rate = results[Cell(workload, 64, "pets")].rate
        for server, bound in bounds.items():
            what = f"{workload.name}, 64 connections, throughput against `{server}`"
            yield Bar.at_least(what, bound, rate / results[Cell(workload, 64, server)].rate)
    for workload in WORKLOADS:
        ratio = results[Cell(workload, 1, "pets")].p50 / results[Cell(workload, 1, "asyncpg")].p50
        yield Bar.at_most(f"{workload.name}, 1 connection, p50 against `asyncpg`", 1.5, ratio)
    for workload, bound in ((LIST_20, 1.2), (CREATE, 1.3)):
        large, small = (results[Cell(workload, 1, "pets", rows)].p50 for rows in (results.large, SMALL))
        what = f"{workload.name}, 1 connection, p50 with {results.large:,} rows against {SMALL:,}"
        yield Bar.at_most(what, bound, large / small)
    plain, keyed = (results[Cell(workload, 1, "pets")].p50 for workload in (CREATE, CREATE_ONCE))
    yield Bar.at_most("create, 1 connection, p50 with an `Idempotency-Key` against without", 1.3, keyed / plain)
    plain, keyed = (results[Cell(workload, 64, "pets")].rate for workload in (CREATE, CREATE_ONCE))
    yield Bar.at_most("create, 64 connections, time a request with a key against without", 1.3, plain / keyed)
    pets, asyncpg = (results[Cell(LIST_20, 64, server)].database_cpu for server in ("pets", "asyncpg"))
    yield Bar.at_most("list 20, 64 connections, PostgreSQL's CPU a request against `asyncpg`", 0.3, pets / asyncpg)
    peak = max(run.memory for cell, runs in results.runs.items() if cell.server == "pets" for run in runs)
    yield Bar("`pets serve`, memory at the peak of the whole run", "at most 120 MB", f"{peak:.0f} MB", peak <= 120)
    ratio = results.start("pets") / results.start("ceiling")
    yield Bar.at_most("`pets serve`, start to first answer (SQLite) against `ceiling`", 1.5, ratio)
