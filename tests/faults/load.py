"""A steady load of creations, reads, conditional changes and deletions, which is recorded."""

import asyncio
import random
import time
from contextlib import closing, suppress
from typing import Final

from tests.faults.client import Client
from tests.faults.record import Record
from tests.faults.worker import Shared, Worker

CLIENTS: Final = 24
RATE: Final = 400
"""How many requests are sent in a second, if all are answered quickly."""

REPEAT_SECONDS: Final = 10
POLL_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 60
"""A client waits far longer than any deadline, so that a request that hangs is noticed."""


class Load:
    """Clients of a service. Each has one connection, and waits for every answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._shared = Shared()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def record(self) -> Record:
        return self._shared.record

    def start(self) -> None:
        for number in range(CLIENTS):
            work = self._work(random.Random(number))
            self._tasks.append(asyncio.create_task(work))
        for path in ("/health/live", "/health/ready"):
            self._tasks.append(asyncio.create_task(self._poll(path)))

    async def finish(self) -> None:
        """Let every client finish, and repeat the creations with keys that are not acknowledged."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        end = time.monotonic() + REPEAT_SECONDS
        with closing(self._client()) as client:
            worker = Worker(client, self._shared, random.Random())
            while self._shared.repeats and time.monotonic() < end:
                await worker.repeat()

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _client(self) -> Client:
        return Client(self._port, PATIENCE_SECONDS)

    async def _poll(self, path: str) -> None:
        with closing(self._client()) as client:
            while not self._stopping.is_set():
                self.record.polls.append(await client.ask("GET", path))
                await asyncio.sleep(POLL_SECONDS)

    async def _work(self, chance: random.Random) -> None:
        with closing(self._client()) as client:
            worker = Worker(client, self._shared, chance)
            while not self._stopping.is_set():
                pause = CLIENTS / RATE * chance.uniform(0.5, 1.5)
                next_step = time.monotonic() + pause
                await worker.step()
                remaining = max(next_step - time.monotonic(), 0)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), remaining)
