"""The servers as processes on a core of their own, and what the kernel says of them."""

import http.client
import os
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

from bench.pythons import BASELINE, interpreter

_UVICORN: Final = [  # as src/pets/bootstrap/service.py serves
    *("uvicorn", "--loop", "uvloop", "--http", "httptools", "--ws", "none", "--lifespan", "on"),
    *("--no-access-log", "--no-server-header", "--no-proxy-headers"),
]
COMMANDS: Final[dict[str, list[str]]] = {
    "ceiling": [*_UVICORN, "bench.servers.ceiling:app"],
    "asyncpg": [*_UVICORN, "bench.servers.bare_asyncpg:app"],
    "fastapi": [*_UVICORN, "bench.servers.fastapi_orm:app"],
    "pets": ["pets", "serve"],
}
if BASELINE:
    COMMANDS["before"] = ["pets", "serve"]
INSTRUMENTED: Final = {
    "watched": ["bench.servers.watched", "serve"],
    "profiled": ["bench.servers.profiled", "serve"],
}
"""`pets` for `bench.hostile` and `bench.budget`, which is compared with no other server."""
CORES: Final = sorted(os.sched_getaffinity(0))
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
OPEN_FILES: Final = resource.getrlimit(resource.RLIMIT_NOFILE)


def leave_first_core() -> None:
    """Keep this process, and what it starts from now on, off the core that the servers have."""
    os.sched_setaffinity(0, CORES[1:2] or CORES)


def allow_open_files() -> None:
    """Let this process and wrk open as many connections as the system allows."""
    _, hard = OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Server:
    name: str
    database: str
    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]
    folder: Path
    """For the requests that are made for this server."""

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"content-type": "application/json", **sent})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    def wait(self) -> None:
        """Return as soon as the server has answered."""
        for _ in range(10_000):
            with suppress(ConnectionError):
                # Without a key it may say 401, but it answers.
                if self.request("GET", "/pets/?limit=1").status in {200, 401}:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.002)
        self.log.seek(0)
        raise RuntimeError(f"{self.name} does not answer:\n{self.log.read().decode()}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def served(name: str, database_url: str, **settings: str) -> Iterator[Server]:
    """Start a server on the first core; it answers when the context is entered.

    `settings` are more variables of its environment.
    """
    port = free_port()
    command = [interpreter(name), "-m", *(COMMANDS | INSTRUMENTED)[name], "--port", str(port)]
    environment = os.environ | settings | {"PETS_DATABASE_URL": database_url}
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, OPEN_FILES)
        os.sched_setaffinity(process.pid, CORES[:1])
        server = Server(name, database_url, process, port, log, Path(folder))
        try:
            server.wait()
            yield server
        finally:
            server.process.terminate()
            server.process.wait(15)


def family(root: int) -> dict[int, int]:
    """Return a process and its descendants, each with its CPU time in ticks.

    The time of children that have ended belongs to their parent.
    """
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(") ")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            ticks[int(stat.parent.name)] = sum(map(int, fields[11:15]))

    def descends(pid: int) -> bool:
        return pid == root or (pid in parents and descends(parents[pid]))

    return {pid: spent for pid, spent in ticks.items() if descends(pid)}


def cpu_seconds(root: int | None) -> float:
    return sum(family(root).values()) / TICKS_PER_SECOND if root else float("nan")


def settle(root: int) -> None:
    """Wait until a server has finished the requests of a load, which would disturb the next."""
    idle, now = False, cpu_seconds(root)
    while not idle:
        time.sleep(0.1)
        before, now = now, cpu_seconds(root)
        idle = now - before < 0.03


def forget_peak_memory(root: int) -> None:
    for pid in family(root):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory(root: int, field: str = "VmHWM") -> float:
    """Return the resident memory of the largest process of a family in MB.

    It is that at the peak; with VmRSS it is that of now.
    """

    def of(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))

    return max(map(of, family(root))) * 1024 / 1e6
