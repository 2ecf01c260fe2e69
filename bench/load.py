"""Load on a server by wrk, and what it cost."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Final, Self

from bench.processes import Server, cpu_seconds, forget_peak_memory, memory, settle

SCRIPT: Final = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Workload:
    name: str
    arguments: tuple[str, ...]
    """For load.lua."""
    writes: bool = True


LIST_20: Final = Workload("list 20", ("list", "20"), writes=False)
LIST_1000: Final = Workload("list 1000", ("list", "1000"), writes=False)
CREATE: Final = Workload("create", ("create",))
CREATE_ONCE: Final = Workload("create with a key", ("create_once",))
DELETE: Final = Workload("delete 3", ("delete", "3"))
MIXED: Final = Workload("mixed", ("mixed",))
WORKLOADS: Final = [LIST_20, LIST_1000, CREATE, DELETE, MIXED]


@dataclass(frozen=True)
class Figures:
    """What one server did under one load."""

    rate: float
    """Requests a second."""
    p50: float
    """Milliseconds."""
    p99: float
    server_cpu: float
    """Microseconds a request, of all processes of the server."""
    database_cpu: float
    """The same of PostgreSQL; not a number if that runs elsewhere."""
    memory: float
    """MB at the peak, of the largest process of the server."""
    failed: float
    """The share of requests that gave no answer, or one from 400 on."""

    @classmethod
    def median(cls, several: Sequence[Self]) -> Self:
        return cls(*map(median, zip(*map(astuple, several), strict=True)))


def drive(server: Server, workload: Workload, connections: int, seconds: int, postgresql: int | None) -> Figures:
    """Load a server for so many seconds; `postgresql` is the id of the database's main process."""
    root = server.process.pid
    forget_peak_memory(root)
    before = cpu_seconds(root), cpu_seconds(postgresql)
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s"]
    wrk = subprocess.run(
        [*command, f"--script={SCRIPT}", f"http://127.0.0.1:{server.port}", "--", *workload.arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    after = cpu_seconds(root), cpu_seconds(postgresql)
    settle(root)
    done = json.loads(wrk.stdout.splitlines()[-1])
    requests = max(done["requests"], 1)
    return Figures(
        rate=done["requests"] / done["seconds"],
        p50=done["p50"],
        p99=done["p99"],
        server_cpu=(after[0] - before[0]) / requests * 1e6,
        database_cpu=(after[1] - before[1]) / requests * 1e6,
        memory=memory(root),
        failed=done["failed"] / requests,
    )
