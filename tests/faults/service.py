"""The command `pets serve` as real processes, whose log is read all the time."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

REQUEST_TIMEOUT: Final = 4
"""The deadline of requests in seconds. It is shorter than by default, so that faults are too."""

START_SECONDS: Final = 60
STOP_SECONDS: Final = 30


class Usage(NamedTuple):
    """What all processes of a service take."""

    megabytes: float
    open_files: int


class Service:
    """A service that can be started again, on the same port, when it has ended."""

    def __init__(self, module: str, workers: int, **environment: str) -> None:
        self.port = 0
        self.lines: list[str] = []
        """The log since the latest start."""
        self._module = module
        self._workers = workers
        self._environment = environment
        self._news = asyncio.Condition()
        self._seen_pids: set[int] = set()

    async def start(self) -> None:
        """Start it, and return as soon as all workers serve."""
        self.lines.clear()
        port, workers = str(self.port), str(self._workers)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._module, "serve", "--port", port, "--workers", workers),
            env=os.environ | self._environment,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read_log())
        (listening,) = await self.wait_for_lines("Listening on")
        address = re.search(r"http://127\.0\.0\.1:(\d+)", listening)
        assert address
        self.port = int(address[1])
        await self.wait_for_lines("startup complete", self._workers)

    async def _read_log(self) -> None:
        assert self._process.stderr
        async for line in self._process.stderr:
            async with self._news:
                self.lines.append(line.decode())
                self._news.notify_all()

    async def wait_for_lines(self, part: str, number: int = 1) -> Sequence[str]:
        """Return as soon as the log has so many lines that contain this text."""
        async with asyncio.timeout(START_SECONDS), self._news:
            while len(lines := [line for line in self.lines if part in line]) < number:
                await self._news.wait()
        return lines

    async def wait_for_start(self, number: int = 1) -> None:
        """Return as soon as so many workers have started in place of others."""
        await self.wait_for_lines("startup complete", self._workers + number)

    async def wait_for_end(self) -> int:
        """Return as soon as all processes have ended. Return the exit status of the parent."""
        async with asyncio.timeout(STOP_SECONDS):
            # Each process can write to the log until it ends.
            await asyncio.shield(self._reader)
            return await self._process.wait()

    def wait_for_end_of(self, pids: Iterable[int]) -> None:
        """Return as soon as none of these processes is left."""
        end = time.monotonic() + STOP_SECONDS
        while not set(self.pids()).isdisjoint(pids):
            assert time.monotonic() < end
            time.sleep(0.02)

    def pids(self) -> list[int]:
        """Return the processes, the parent first."""
        family = [self._process.pid]
        for pid in family:
            with suppress(OSError):  # It has ended meanwhile.
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                family += map(int, children.split())
        self._seen_pids.update(family)
        return family

    def worker_pids(self) -> list[int]:
        log = "".join(self.lines)
        return [pid for pid in self.pids() if f"Started server process [{pid}]" in log]

    def busiest_worker(self) -> int:
        """Return the worker with the most open files, and so with the most connections."""
        return max(self.worker_pids(), key=lambda pid: len([*Path(f"/proc/{pid}/fd").iterdir()]))

    def usage(self) -> Usage:
        memory = 0
        files = 0
        for pid in self.pids():
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                resident = re.search(r"VmRSS:\s*(\d+) kB", status)
                memory += int(resident[1]) if resident else 0
                files += len([*Path(f"/proc/{pid}/fd").iterdir()])
        return Usage(memory / 1024, files)

    def send(self, number: int) -> None:
        """Send a signal to the parent."""
        self._process.send_signal(number)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the parent, and return its exit status when all have ended."""
        if self._process.returncode is None:
            self.send(number)
        return await self.wait_for_end()

    async def kill(self) -> None:
        """Kill all processes at once."""
        signal_each(self.pids(), signal.SIGKILL)
        await self.wait_for_end()

    async def end(self) -> None:
        """Stop it. Kill what is left of it after a while."""
        self.pids()
        try:
            await self.stop()
        except TimeoutError:
            signal_each(self._seen_pids, signal.SIGKILL)
            await self._reader


def signal_each(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # It has ended meanwhile.
            os.kill(pid, number)


@asynccontextmanager
async def served(
    database_url: str, *, workers: int, module: str = "pets", **environment: str
) -> AsyncIterator[Service]:
    """Run a service on a free port until the end of the block."""
    variables = {"PETS_DATABASE_URL": database_url, "PETS_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT)}
    service = Service(module, workers, **variables | environment)
    try:
        await service.start()
        yield service
    finally:
        await service.end()
