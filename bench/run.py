"""`make bench`: measures, shows and writes it all; QUICK=1 is short, SOAK=1 is something else."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bench import ROWS, budget
from bench.agreement import agree
from bench.database import (
    COUNT,
    KEPT_COUNT,
    database,
    fill,
    main_process,
    milliseconds,
    postgresql,
    version,
)
from bench.load import drive, requests_file
from bench.overload import overload
from bench.plot import CONNECTIONS, PLOTTED, plot
from bench.processes import COMMANDS, Server, allow_open_files, leave_first_core, served
from bench.report import report
from bench.results import OVERLOADED, SIZED, SMALL, Cell, Results, Strain, comparisons
from bench.soak import soak
from bench.workloads import CREATE, PATCH, SAME_20, STORES, WALK, WORKLOADS

HERE: Final = Path(__file__).parent
MAX_FAILED: Final = 0.001


class Plan(NamedTuple):
    seconds: int = 1
    """Of each load."""
    connections: tuple[int, ...] = CONNECTIONS
    rounds: int = 5
    """Of each load that a bar is about; the others have one."""
    large: int = 10_000_000
    overload_connections: tuple[int, ...] = (64, 500, 2000, 5000)
    overload_seconds: int = 4
    starts: int = 5
    budget: bool = True
    """Whether to measure what a request pays in each room, too."""


STANDARD: Final = Plan()
QUICK: Final = Plan(
    connections=(1, 64),
    rounds=1,
    large=200_000,
    overload_connections=(64, 2000),
    overload_seconds=2,
    starts=3,
    budget=False,
)


class Step(NamedTuple):
    label: str
    seconds: float
    """About how long it takes."""
    run: Callable[[], None]


@dataclass
class Bench:
    plan: Plan
    postgresql: str
    folder: str
    stack: ExitStack
    results: Results
    servers: dict[tuple[str, int], Server] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    """The databases whose rows are not the ones that they were filled with."""

    @cached_property
    def postgresql_process(self) -> int | None:
        return main_process(self.postgresql)

    @cached_property
    def barred(self) -> set[Cell]:
        """The cells that a bar is about."""
        cells = set()
        for comparison in comparisons(self.plan.large):
            if comparison.other.server in COMMANDS:
                cells |= {comparison.cell, comparison.other}
        return cells

    def steps(self) -> Iterable[Step]:
        """Yield the whole run.

        Servers take turns, and rounds go over all loads, so that other work on the machine
        disturbs all of them alike.
        """
        plan = self.plan
        names = [name for name in COMMANDS if name != "before"]
        yield Step(f"filling {ROWS:,} rows", 10, partial(self.prepare, ROWS, names))
        if "before" in COMMANDS:
            yield Step("filling rows for before", 5, partial(self.prepare, ROWS, ["before"]))
        yield Step("comparing answers", 2, self.compare)
        for name in STORES:
            yield Step(f"collecting cursors and tags of {name}", 10, partial(self.collect, name))
        for connections, turn in product(plan.connections, range(plan.rounds)):
            yield from self.turn(connections, turn)
        yield Step(f"filling {SMALL:,} rows", 3, partial(self.prepare, SMALL, ["pets"]))
        filling = partial(self.prepare, plan.large, ["pets"])
        yield Step(f"filling {plan.large:,} rows", 3 + plan.large / 250_000, filling)
        turns = product(range(plan.rounds), SIZED, (SMALL, plan.large))
        for _, workload, rows in turns:
            yield self.measuring(Cell(workload, 1, "pets", rows))
        yield Step("counting", 3, self.count)
        strains = product(range(plan.rounds), OVERLOADED, plan.overload_connections)
        for _, workload, connections in strains:
            strain = Strain(workload, connections)
            label = f"{workload.name}, {connections} connections, overload"
            yield Step(label, plan.overload_seconds + 1.5, partial(self.strain, strain))
        for turn, name in product(range(plan.starts + 1), ("ceiling", "pets")):
            yield Step(f"start of {name}", 1, partial(self.start, name, kept=turn > 0))
        if plan.budget:
            yield Step("what a request pays", 150, self.budget)

    def turn(self, connections: int, turn: int) -> Iterable[Step]:
        """Yield one round of all loads with so many connections."""
        for workload in WORKLOADS:
            if connections not in {1, 64} and workload not in PLOTTED:
                continue
            for server in workload.servers:
                cell = Cell(workload, connections, server)
                if server in COMMANDS and (turn == 0 or cell in self.barred):
                    yield self.measuring(cell)

    def measuring(self, cell: Cell) -> Step:
        label = f"{cell.workload.name}, {cell.connections} connections, {cell.server}"
        seconds = self.plan.seconds + (1.2 if cell.workload.writes else 0.3)
        return Step(label, seconds, partial(self.measure, cell))

    def prepare(self, rows: int, names: Iterable[str]) -> None:
        """Make and fill a database, and start these servers over it."""
        migrated_by = "before" if "before" in names else "pets"
        url = self.stack.enter_context(database(self.postgresql, rows, migrated_by))
        for name in names:
            server = self.servers[name, rows] = self.stack.enter_context(served(name, url))
            for workload in (SAME_20, CREATE):  # to warm up
                drive(server, workload, 64, seconds=1, postgresql=None)
        self.changed.add(url)

    def refill(self, server: Server, rows: int) -> None:
        """Restore the rows that the last load has changed, except where that takes too long."""
        if server.database in self.changed and rows <= ROWS:
            fill(server.database, rows)
            self.changed.remove(server.database)

    def compare(self) -> None:
        servers = [self.servers[name, ROWS] for name in COMMANDS]
        for server in servers:
            self.refill(server, ROWS)
        agree(servers)
        self.changed.update(server.database for server in servers)

    def collect(self, name: str) -> None:
        server = self.servers[name, ROWS]
        self.refill(server, ROWS)
        for workload in (WALK, PATCH):
            requests_file(server, workload)

    def measure(self, cell: Cell) -> None:
        server = self.servers[cell.server, cell.rows]
        if cell.server != "ceiling":
            self.refill(server, cell.rows)
        figures = drive(
            server,
            cell.workload,
            cell.connections,
            seconds=self.plan.seconds,
            postgresql=self.postgresql_process,
        )
        self.results.runs[cell].append(figures)
        if cell.workload.writes and cell.server != "ceiling":
            self.changed.add(server.database)

    def strain(self, strain: Strain) -> None:
        server = self.servers["pets", ROWS]
        self.refill(server, ROWS)
        figures = overload(server, *strain, self.plan.overload_seconds)
        self.results.overloads[strain].append(figures)
        if strain.workload.writes:
            self.changed.add(server.database)

    def count(self) -> None:
        for rows in (ROWS, self.plan.large):
            url = self.servers["pets", rows].database
            times = milliseconds(url, COUNT), milliseconds(url, KEPT_COUNT)
            self.results.counting[rows] = times

    def start(self, name: str, *, kept: bool) -> None:
        """Start a server over SQLite.

        The first time is not kept, because it warms the files and migrates the store.
        """
        began = time.perf_counter()
        with served(name, f"sqlite+aiosqlite:///{self.folder}/pets.db"):
            seconds = time.perf_counter() - began
        if kept:
            self.results.starts[name].append(seconds)

    def budget(self) -> None:
        budget.write(self.postgresql)


def bench(plan: Plan, name: str) -> float:
    """Run a plan, write and show its results, and return the largest share that failed."""
    description = TextColumn("{task.description:<50}")
    columns = description, BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    results = Results(plan.large)
    with ExitStack() as stack:
        url = stack.enter_context(postgresql())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        progress = stack.enter_context(Progress(*columns, transient=True))
        steps = list(Bench(plan, url, folder, stack, results).steps())
        task = progress.add_task("", total=sum(step.seconds for step in steps))
        for step in steps:
            progress.update(task, description=step.label)
            step.run()
            progress.advance(task, step.seconds)
        postgresql_version = version(url)
    plot(results, HERE / f"{name}.svg")
    text = "\n".join(report(results, postgresql_version, f"{name}.svg", quick=plan is QUICK))
    (HERE / f"{name}.md").write_text(text)
    print(text)
    return results.failed


def main() -> int:
    if shutil.which("wrk") is None:
        print("bench: wrk is missing; on Debian: apt-get install wrk", file=sys.stderr)
        return 1
    leave_first_core()
    allow_open_files()
    quick = bool(os.environ.get("QUICK"))
    if os.environ.get("SOAK"):
        failed = soak(20, HERE / "soak-quick.md") if quick else soak(300, HERE / "soak.md")
    else:
        failed = bench(QUICK, "results-quick") if quick else bench(STANDARD, "results")
    if failed > MAX_FAILED:
        print(f"bench: under some load {failed:.2%} of the requests failed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
