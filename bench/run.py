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

from bench import ROWS
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
from bench.load import CREATE, CREATE_ONCE, LIST_20, WORKLOADS, drive
from bench.plot import plot
from bench.processes import COMMANDS, Server, leave_first_core, served
from bench.report import report
from bench.results import SMALL, Cell, Results
from bench.soak import soak

HERE: Final = Path(__file__).parent
MAX_FAILED: Final = 0.001


class Plan(NamedTuple):
    seconds: int
    """Of each load."""
    connections: tuple[int, ...]
    repetitions: int
    """Of each load that a bar is about."""
    large: int
    starts: int


STANDARD: Final = Plan(seconds=2, connections=(1, 16, 64, 256), repetitions=3, large=10_000_000, starts=5)
QUICK: Final = Plan(seconds=1, connections=(1, 64), repetitions=1, large=200_000, starts=3)


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
    databases: dict[int, str] = field(default_factory=dict)
    servers: dict[tuple[str, int], Server] = field(default_factory=dict)

    @cached_property
    def postgresql_process(self) -> int | None:
        return main_process(self.postgresql)

    def steps(self) -> Iterable[Step]:
        """Yield the whole run; servers take turns within a load, so that what disturbs the machine disturbs all."""
        plan = self.plan
        yield Step(f"filling {ROWS:,} rows", 10, partial(self.prepare, ROWS, COMMANDS))
        yield Step("comparing answers", 1, self.compare)
        for workload, connections in product(WORKLOADS, plan.connections):
            in_bars = connections == 1 or (connections == 64 and workload in (LIST_20, CREATE))
            for _, server in product(range(plan.repetitions if in_bars else 1), COMMANDS):
                yield self.measuring(Cell(workload, connections, server))
        for connections, _, workload in product((1, 64), range(plan.repetitions), (CREATE, CREATE_ONCE)):
            yield self.measuring(Cell(workload, connections, "pets"))
        yield Step(f"filling {SMALL:,} rows", 3, partial(self.prepare, SMALL, ["pets"]))
        yield Step(
            f"filling {plan.large:,} rows", 3 + plan.large / 250_000, partial(self.prepare, plan.large, ["pets"])
        )
        repetitions = range(plan.repetitions)
        for workload, connections, _, rows in product((LIST_20, CREATE), (1, 64), repetitions, (SMALL, plan.large)):
            yield self.measuring(Cell(workload, connections, "pets", rows))
        yield Step("counting", 3, self.count)
        for repetition, name in product(range(plan.starts + 1), ("ceiling", "pets")):
            yield Step(f"start of {name}", 1, partial(self.start, name, kept=repetition > 0))

    def measuring(self, cell: Cell) -> Step:
        label = f"{cell.workload.name}, {cell.connections} connections, {cell.server}, {cell.rows:,} rows"
        return Step(label, self.plan.seconds + (0.6 if cell.workload.writes else 0.1), partial(self.measure, cell))

    def prepare(self, rows: int, names: Iterable[str]) -> None:
        url = self.databases[rows] = self.stack.enter_context(database(self.postgresql, rows))
        for name in names:
            server = self.servers[name, rows] = self.stack.enter_context(served(name, url))
            for workload in (LIST_20, CREATE):  # to warm up
                drive(server, workload, 64, 1, None)
        if rows <= ROWS:
            fill(url, rows)

    def compare(self) -> None:
        agree([self.servers[name, ROWS] for name in COMMANDS])

    def measure(self, cell: Cell) -> None:
        url = self.databases[cell.rows]
        if cell.workload.writes and cell.server != "ceiling" and cell.rows <= ROWS:
            fill(url, cell.rows)
        server = self.servers[cell.server, cell.rows]
        figures = drive(server, cell.workload, cell.connections, self.plan.seconds, self.postgresql_process)
        self.results.runs[cell].append(figures)

    def count(self) -> None:
        for rows in (ROWS, self.plan.large):
            url = self.databases[rows]
            self.results.counting[rows] = milliseconds(url, COUNT), milliseconds(url, KEPT_COUNT)

    def start(self, name: str, *, kept: bool) -> None:
        """Start a server over SQLite; the first time, which warms the files and migrates the store, is not kept."""
        began = time.perf_counter()
        with served(name, f"sqlite+aiosqlite:///{self.folder}/pets.db"):
            seconds = time.perf_counter() - began
        if kept:
            self.results.starts[name].append(seconds)


def bench(plan: Plan, name: str) -> float:
    """Run a plan, write what it gave into files of this name, show it, and return the largest share that failed."""
    columns = TextColumn("{task.description:<50}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    results = Results(plan.large)
    with ExitStack() as stack:
        url, folder = stack.enter_context(postgresql()), stack.enter_context(tempfile.TemporaryDirectory())
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
