"""`python -m bench.budget`: what a request pays, room by room, and which system calls it makes."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench import ROWS
from bench.database import database, fill, postgresql
from bench.load import Figures, drive
from bench.processes import Server, family, leave_first_core, served
from bench.pythons import installed
from bench.report import Row, table
from bench.workloads import CREATE, ONE_PET, SAME_20, Workload

RESULTS: Final = Path(__file__).with_name("budget.md")
ROUNDS: Final = 3
SECONDS: Final = 2
WORKLOADS: Final = (SAME_20, ONE_PET, CREATE)
CONNECTIONS: Final = (64, 1)
SHOWN_FUNCTIONS: Final = 25

PETS: Final = ("pets.serving", "pets.api", "pets.domain", "pets.adapters", "pets.telemetry")
LOOP: Final = "asyncio"
ROOMS: Final = (*PETS, "litestar", "uvicorn", "sqlalchemy", "asyncpg", LOOP)
OTHER: Final = "other"

TEXT: Final = """\
# What a request pays

`python -m bench.budget`: how much of the server's processor time a request takes in each room,
in microseconds and as a share. Python {python}, {rows:,} pets, {rounds} rounds of {seconds} seconds.
The number after the name of a load is that of its connections.

A timer interrupts the worker each few milliseconds of its processor time,
and the innermost function of a room is counted.
The shares of these samples divide the time that a request takes without this profiler,
which a second server tells, in turns with the first.

- C code and system calls count for the Python function that called them,
  such as httptools for `pets.serving` and msgspec for `pets.api`.
- `event loop` is asyncio and uvloop, and all C code that uvloop calls without a Python function between them,
  such as that of asyncpg which reads the answers of PostgreSQL.
- The standard library, except for asyncio, counts for the room that called it.
- `other` is the rest of `pets`, and everything that no room has called.
- The profiler's own work is in the shares. The row `with the profiler` shows how much it is.
- Of 1,000 samples, a share of 10 % may be wrong by 2 points.
"""
CALLS_TEXT: Final = """\
## System calls of a request

`strace -c` counted them, in loads of their own. It slows the worker down.
"""

Load = tuple[int, Workload]
"""The number of connections, and what they ask."""


class Budget(NamedTuple):
    """What the requests of a load paid."""

    functions: Counter[str]
    """The samples in each."""
    cpu: float
    """µs by request, without the profiler."""
    cpu_with_profiler: float
    calls: dict[str, float]
    """System calls by request; empty without strace."""

    def share(self, room: str) -> float:
        own = sum(number for name, number in self.functions.items() if room_of(name) == room)
        return own / self.functions.total()


def room_of(function: str) -> str:
    return next((room for room in ROOMS if function.startswith(f"{room}.")), OTHER)


def worker(server: Server) -> int:
    """Return the process id of the server's only worker."""
    (pid,) = family(server.process.pid).keys() - {server.process.pid}
    return pid


def driven(server: Server, load: Workload, connections: int) -> Figures:
    return drive(server, load, connections, seconds=SECONDS, postgresql=None)


def samples(server: Server, path: Path) -> Counter[str]:
    """Return what the server has counted since the last time."""
    os.kill(worker(server), signal.SIGUSR1)
    for _ in range(1000):
        if path.exists():
            counted: Counter[str] = Counter(json.loads(path.read_text()))
            path.unlink()
            return counted
        time.sleep(0.005)  # A signal to another process has no event to wait for.
    raise RuntimeError("The profiler has written nothing.")


def system_calls(server: Server, load: Workload, connections: int) -> dict[str, float]:
    """Return the system calls by request, or none if strace is missing or not allowed."""
    if shutil.which("strace") is None:
        return {}
    path = server.folder / "calls"
    command = ["strace", "-c", "-f", "-o", str(path), "-p", str(worker(server))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        if "attached" not in strace.stderr.readline():
            return {}
        requests = SECONDS * driven(server, load, connections).rate
        strace.send_signal(signal.SIGINT)
    calls = {}
    for line in path.read_text().splitlines():
        fields = line.split()  # share, seconds, µs a call, calls, errors if there are any, name
        if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3]) / requests
    return calls


def measure(url: str) -> Iterator[tuple[Load, Budget]]:
    """Yield the budget of each load with each number of connections."""
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "samples")
        plain = stack.enter_context(served("pets", url))
        profiled = stack.enter_context(served("profiled", url, SAMPLES=str(path)))
        for load in WORKLOADS:  # to warm up
            for server in (plain, profiled):
                driven(server, load, 64)
        for connections in CONNECTIONS:
            fill(url, ROWS)
            for load in WORKLOADS:
                without, with_profiler = [], []
                samples(profiled, path)  # of what was before
                for _ in range(ROUNDS):
                    without.append(driven(plain, load, connections).server_cpu)
                    with_profiler.append(driven(profiled, load, connections).server_cpu)
                functions = samples(profiled, path)
                cpu = median(without), median(with_profiler)
                calls = system_calls(plain, load, connections)
                yield (connections, load), Budget(functions, *cpu, calls)


def room_rows(budgets: Collection[Budget]) -> Iterator[Row]:
    def paid(budget: Budget, room: str) -> str:
        share = budget.share(room)
        return f"{budget.cpu * share:.1f} ({share:.0%})"

    for room in (*ROOMS, OTHER):
        name = "event loop" if room == LOOP else room
        yield name, *(paid(budget, room) for budget in budgets)
    yield "all", *(f"{budget.cpu:.1f}" for budget in budgets)
    yield "with the profiler", *(f"{budget.cpu_with_profiler:.1f}" for budget in budgets)
    yield "samples", *(f"{budget.functions.total():,}" for budget in budgets)


def call_rows(budgets: Collection[Budget]) -> Iterator[Row]:
    totals: Counter[str] = Counter()
    for budget in budgets:
        totals.update(budget.calls)
    for name, _ in totals.most_common():
        numbers = [f"{budget.calls.get(name, 0):.2f}" for budget in budgets]
        if set(numbers) != {"0.00"}:
            yield name, *numbers


def page(budgets: Mapping[Load, Budget]) -> Iterator[str]:
    python = installed("profiled")["python"]
    yield TEXT.format(python=python, rows=ROWS, rounds=ROUNDS, seconds=SECONDS)
    header = [":", *(f"{load.name}, {connections}" for connections, load in budgets)]
    yield from table(" | ".join(header), room_rows(budgets.values()))
    if all(budget.calls for budget in budgets.values()):
        yield CALLS_TEXT
        yield from table(" | ".join(header), call_rows(budgets.values()))
    else:
        yield "The system calls were left out, because strace is missing or not allowed.\n"


def write(server: str) -> Mapping[Load, Budget]:
    """Measure over a database of this PostgreSQL, and write and return what was found."""
    with database(server, ROWS) as url:
        budgets = dict(measure(url))
    RESULTS.write_text("\n".join(page(budgets)))
    return budgets


def main() -> None:
    leave_first_core()
    with postgresql() as server:
        budgets = write(server)
    print(RESULTS.read_text())
    for (connections, load), budget in budgets.items():
        print(f"The functions with the most samples: {load.name}, {connections} connections")
        for name, number in budget.functions.most_common(SHOWN_FUNCTIONS):
            print(f"{number / budget.functions.total():7.1%}  {name}")


if __name__ == "__main__":
    main()
