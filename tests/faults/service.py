"""The command `pets serve` as real processes, whose log is read all the time."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
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


@dataclass
class Service:
    process: asyncio.subprocess.Process
    lines: list[str]
    """The log so far."""
    news: asyncio.Condition
    port: int = 0

    async def wait_for_lines(self, part: str, number: int = 1) -> Sequence[str]:
        """Return as soon as the log has so many lines that contain this text."""
        async with asyncio.timeout(START_SECONDS), self.news:
            while len(lines := [line for line in self.lines if part in line]) < number:
                await self.news.wait()
        return lines

    def pids(self) -> list[int]:
        """Return the processes, the parent first."""
        family = [self.process.pid]
        for pid in family:
            with suppress(OSError):  # It has ended meanwhile.
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                family += map(int, children.split())
        return family

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

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the parent, and return its exit status."""
        self.process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def served(
    database_url: str, *, workers: int, module: str = "pets", **environment: str
) -> AsyncIterator[Service]:
    """Run a service on a free port until the end of the block."""
    variables = {"PETS_DATABASE_URL": database_url, "PETS_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "serve", "--port", "0", "--workers", str(workers)),
        env=os.environ | variables | environment,
        stderr=asyncio.subprocess.PIPE,
    )
    service = Service(process, [], asyncio.Condition())
    reader = asyncio.create_task(_read_log(service))
    try:
        (listening,) = await service.wait_for_lines("Listening on")
        service.port = int(listening.rpartition(":")[2])
        await service.wait_for_lines("startup complete", workers)
        yield service
    finally:
        if process.returncode is None:
            try:
                await service.stop()
            except TimeoutError:
                for pid in service.pids():
                    os.kill(pid, signal.SIGKILL)
        await reader


async def _read_log(service: Service) -> None:
    assert service.process.stderr
    async for line in service.process.stderr:
        async with service.news:
            service.lines.append(line.decode())
            service.news.notify_all()
