"""What a run has measured, and what it says of the bars."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal, NamedTuple, Self

from bench import ROWS
from bench.load import Figures, Overload, median_of
from bench.workloads import (
    AGE_BY_NAME,
    CREATE,
    CREATE_ONCE,
    DELETE,
    FILTERS,
    MIXED,
    ONE_PET,
    PATCH,
    SAME_20,
    SAME_1000,
    TYPE_AND_LIMIT,
    VARIED,
    WALK,
    Workload,
)

SMALL: Final = 1000
SIZED: Final = (*FILTERS, SAME_20, CREATE)
"""The loads that run over a small and a large table."""

OVERLOADED: Final = (TYPE_AND_LIMIT, CREATE)


class Cell(NamedTuple):
    workload: Workload
    connections: int
    server: str
    rows: int = ROWS


class Strain(NamedTuple):
    """A load of more connections than a server is made for."""

    workload: Workload
    connections: int


@dataclass
class Results:
    large: int
    """The rows of the largest table."""
    runs: dict[Cell, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    overloads: dict[Strain, list[Overload]] = field(default_factory=lambda: defaultdict(list))
    counting: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By rows: milliseconds of count(*), and of the sum of the kept counts."""
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from a process's start to its first answer."""

    def __getitem__(self, cell: Cell) -> Figures:
        return median_of(self.runs[cell])

    def overload(self, strain: Strain) -> Overload:
        return median_of(self.overloads[strain])

    def start(self, server: str) -> float:
        return median(self.starts[server])

    @property
    def failed(self) -> float:
        """The largest share of failed requests under any load that is no overload."""
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
    def at_most(cls, what: str, bound: float, ratio: float, unit: str = "×") -> Self:
        digits = 2 if unit == "×" else 0
        return cls(what, f"at most {bound:g} {unit}", f"{ratio:.{digits}f} {unit}", ratio <= bound)


class Comparison(NamedTuple):
    """A bar that compares one figure of two cells: more of a rate is better, less of another."""

    cell: Cell
    other: Cell
    figure: Literal["rate", "p50", "database_cpu"]
    bound: float

    def bar(self, results: Results) -> Bar:
        ours: float = getattr(results[self.cell], self.figure)
        theirs: float = getattr(results[self.other], self.figure)
        against = f"`{self.other.server}`"
        if self.other.workload is not self.cell.workload:
            against = self.other.workload.name
        elif self.other.rows != self.cell.rows:
            against = f"{self.other.rows:,} rows"
        label = f"{self.cell.workload.name}, {connections_of(self.cell.connections)}"
        if self.cell.rows != ROWS:
            label += f", {self.cell.rows:,} rows"
        what = f"{label}: {FIGURES[self.figure]} against {against}"
        make = Bar.at_least if self.figure == "rate" else Bar.at_most
        return make(what, self.bound, ours / theirs)


FIGURES: Final = {
    "rate": "throughput",
    "p50": "p50",
    "database_cpu": "PostgreSQL's CPU a request",
}


def connections_of(number: int) -> str:
    return "1 connection" if number == 1 else f"{number:,} connections"


def comparisons(large: int) -> Iterator[Comparison]:
    """Yield every bar that is a ratio; `large` is how many rows the largest table has."""
    for workload in (TYPE_AND_LIMIT, AGE_BY_NAME, WALK):
        yield from _rates(workload, {"asyncpg": 1.2})
    yield from _rates(ONE_PET, {"asyncpg": 1.8, "ceiling": 1.0})
    yield from _rates(PATCH, {"asyncpg": 0.8})
    for workload in VARIED:
        yield _p50(workload, "asyncpg", 1.4)
    for workload in (SAME_20, CREATE, CREATE_ONCE, DELETE, MIXED):
        yield from _rates(workload, {"before": 0.97})
    yield _p50(CREATE, "before", 1.1)
    for workload in FILTERS:
        yield _size(workload, large, 1.3)

    yield from _rates(SAME_20, {"asyncpg": 1.6, "fastapi": 7, "ceiling": 0.75})
    yield from _rates(CREATE, {"asyncpg": 1.5, "fastapi": 5, "ceiling": 0.7})
    for workload in (SAME_20, SAME_1000, CREATE, DELETE, MIXED):
        yield _p50(workload, "asyncpg", 1.5)
    yield _size(SAME_20, large, 1.2)
    yield _size(CREATE, large, 1.3)
    yield Comparison(Cell(CREATE_ONCE, 1, "pets"), Cell(CREATE, 1, "pets"), "p50", 1.3)
    yield Comparison(Cell(CREATE_ONCE, 64, "pets"), Cell(CREATE, 64, "pets"), "rate", 0.77)
    same = Cell(SAME_20, 64, "pets")
    yield Comparison(same, same._replace(server="asyncpg"), "database_cpu", 0.3)


def _rates(workload: Workload, bounds: Mapping[str, float]) -> Iterator[Comparison]:
    for server, bound in bounds.items():
        yield Comparison(Cell(workload, 64, "pets"), Cell(workload, 64, server), "rate", bound)


def _p50(workload: Workload, server: str, bound: float) -> Comparison:
    return Comparison(Cell(workload, 1, "pets"), Cell(workload, 1, server), "p50", bound)


def _size(workload: Workload, large: int, bound: float) -> Comparison:
    cell = Cell(workload, 1, "pets", large)
    return Comparison(cell, cell._replace(rows=SMALL), "p50", bound)


def bars(results: Results) -> Iterator[Bar]:
    """Yield every bar that this run can answer; SOAK=1 answers one more."""
    for comparison in comparisons(results.large):
        if comparison.other in results.runs:
            yield comparison.bar(results)
    yield from overload_bars(results)
    ours = [runs for cell, runs in results.runs.items() if cell.server == "pets"]
    peak = max(run.memory for runs in ours for run in runs)
    yield Bar.at_most("`pets`, memory at its peak, overload aside", 120, peak, "MB")
    ratio = results.start("pets") / results.start("ceiling")
    yield Bar.at_most("`pets`, start to first answer (SQLite) against `ceiling`", 1.5, ratio)


def overload_bars(results: Results) -> Iterator[Bar]:
    figures = {strain: results.overload(strain) for strain in results.overloads}
    most = max(strain.connections for strain in figures)
    for workload in OVERLOADED:
        levels = {strain: done for strain, done in figures.items() if strain.workload is workload}
        least = min(strain.connections for strain in levels)
        peak = max(done.good for done in levels.values())
        for strain, done in levels.items():
            if strain.connections > least:
                what = f"{workload.name}, {connections_of(strain.connections)}"
                yield Bar.at_least(f"{what}: good answers against the peak", 0.8, done.good / peak)
        last = levels[Strain(workload, most)]
        what = f"{workload.name}, {connections_of(most)}: p99 of the good answers"
        yield Bar.at_most(what, 2000, last.p99, "ms")
    health = max(done.health_p99 for done in figures.values())
    yield Bar.at_most("`/health/live` under any overload: p99", 100, health, "ms")
    memory = max(done.memory for done in figures.values())
    yield Bar.at_most("memory of a worker under any overload", 200, memory, "MB")
