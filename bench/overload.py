"""More connections than a server is made for.

wrk brings most of the load, and counts. It tells neither how long good answers alone took nor how
the service does meanwhile. So some of the connections are clients of this process, which measure
their own answers, and `/health/live` is asked all the time.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from math import ceil
from random import Random
from typing import Final

from bench.client import TIMEOUT_SECONDS, Client, http_request
from bench.load import Overload, requests_file, wrk
from bench.processes import Server, forget_peak_memory, memory, settle
from bench.workloads import SEED, Workload

MIN_CLIENTS: Final = 8
CONNECTIONS_PER_CLIENT: Final = 50
PROBE_SECONDS: Final = 0.02
LIVE: Final = http_request("GET", "/health/live", "", "Connection: close")


def overload(server: Server, workload: Workload, connections: int, seconds: int) -> Overload:
    forget_peak_memory(server.process.pid)
    figures = asyncio.run(Run(server, workload, seconds).measure(connections))
    settle(server.process.pid)
    return figures


class Run:
    def __init__(self, server: Server, workload: Workload, seconds: int) -> None:
        self._server = server
        self._file = requests_file(server, workload)
        self._requests = self._file.read_bytes().split(b"\0")
        self._seconds = seconds
        self._statuses: Counter[int] = Counter()
        self._good: list[float] = []
        self._health: list[float] = []

    async def measure(self, connections: int) -> Overload:
        clients = max(MIN_CLIENTS, connections // CONNECTIONS_PER_CLIENT)
        command = wrk(self._server, self._file, connections - clients, self._seconds)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        end = time.perf_counter() + self._seconds
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._ask(Random(SEED + number), end))
            # A probe does not wait for the one before, because a client would not either.
            while time.perf_counter() < end:
                group.create_task(self._probe())
                await asyncio.sleep(PROBE_SECONDS)
            output, _ = await process.communicate()
        done = json.loads(output.splitlines()[-1])

        good = sum(number for status, number in self._statuses.items() if 200 <= status < 400)
        rejected = self._statuses[503]
        failed = self._statuses.total() - good - rejected
        return Overload(
            good=(done["requests"] - done["refused"] + good) / self._seconds,
            rejected=(done["refused"] + rejected) / self._seconds,
            p99=p99(self._good),
            health_p99=p99(self._health),
            memory=memory(self._server.process.pid),
            failed=done["broken"] + failed,
        )

    async def _ask(self, random: Random, end: float) -> None:
        """Send one request after the other, and wait for the last answer however long it takes."""
        client = Client(self._server.port)
        while (began := time.perf_counter()) < end:
            answer = await client.ask(random.choice(self._requests))
            self._statuses[answer.status if answer else 0] += 1
            if answer is None:
                self._good.append(TIMEOUT_SECONDS)  # left out, it would make the others look good
            elif answer.status < 400:
                self._good.append(time.perf_counter() - began)
        client.close()

    async def _probe(self) -> None:
        """Ask on a connection of its own, as probes do. One without the answer counts as 5 s."""
        began = time.perf_counter()
        client = Client(self._server.port)
        answer = await client.ask(LIVE)
        client.close()
        is_alive = answer is not None and answer.status == 200
        self._health.append(time.perf_counter() - began if is_alive else TIMEOUT_SECONDS)


def p99(seconds: Sequence[float]) -> float:
    """Return milliseconds; infinity if there are none."""
    if not seconds:
        return float("inf")
    return sorted(seconds)[ceil(len(seconds) * 0.99) - 1] * 1000
