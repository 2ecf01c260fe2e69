"""Load on a server by wrk, and what it cost."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

from bench.processes import Server, cpu_seconds, forget_peak_memory, memory, settle
from bench.workloads import Workload

SCRIPT: Final = Path(__file__).with_name("load.lua")

Measured = TypeVar("Measured", "Figures", "Overload")


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


@dataclass(frozen=True)
class Overload:
    """What one server did for more connections than it was made for."""

    good: float
    """Answers a second below 400."""
    rejected: float
    """Answers a second from 400 on."""
    p99: float
    """Milliseconds, of the good answers."""
    health_p99: float
    """The same of `/health/live` meanwhile."""
    memory: float
    """MB at the peak, of the largest process of the server."""
    failed: float
    """How many requests had no answer, or a status that is neither good nor 503."""


def median_of(several: Sequence[Measured]) -> Measured:
    """Return the median of each figure."""
    columns = zip(*map(astuple, several), strict=True)
    return type(several[0])(*map(median, columns))


def requests_file(server: Server, workload: Workload) -> Path:
    """Return the file of a load's requests; it is written the first time."""
    path = server.folder / workload.name
    if not path.exists():
        path.write_bytes(b"\0".join(workload.requests(server)))
    return path


def wrk(server: Server, requests: Path, connections: int, seconds: int) -> list[str]:
    options = ["--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
    url = f"http://127.0.0.1:{server.port}"
    return ["wrk", *options, "--timeout=10s", f"--script={SCRIPT}", url, "--", str(requests)]


def drive(
    server: Server,
    workload: Workload,
    connections: int,
    *,
    seconds: int,
    postgresql: int | None,
) -> Figures:
    """Load a server for so many seconds; `postgresql` is the database's main process."""
    command = wrk(server, requests_file(server, workload), connections, seconds)
    root = server.process.pid
    forget_peak_memory(root)
    before = cpu_seconds(root), cpu_seconds(postgresql)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = cpu_seconds(root), cpu_seconds(postgresql)
    settle(root)
    done = json.loads(output.splitlines()[-1])
    requests = max(done["requests"], 1)
    return Figures(
        rate=done["requests"] / done["seconds"],
        p50=done["p50"],
        p99=done["p99"],
        server_cpu=(after[0] - before[0]) / requests * 1e6,
        database_cpu=(after[1] - before[1]) / requests * 1e6,
        memory=memory(root),
        failed=(done["refused"] + done["broken"]) / requests,
    )
