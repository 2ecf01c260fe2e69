"""`python -m bench.hostile [NAME …]`: what strangers without a key can do to those who use the service.

Each attack meets a new service on SQLite, for ATTACK_SECONDS, from a process of its own. Meanwhile
20 clients use the service as they should, and `/health/live` is asked on new connections.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from bench.client import Client, http_request
from bench.processes import (
    Server,
    allow_open_files,
    forget_peak_memory,
    leave_first_core,
    memory,
    served,
)
from bench.report import table

ATTACK_SECONDS: Final = 6
CLIENTS: Final = 20
PAUSE_SECONDS: Final = 0.2
MIB: Final = 1024 * 1024
BOY: Final = '{"name": "boy", "age": 7, "type": "dog"}'
GOOD: Final = (
    http_request("GET", "/pets/"),
    http_request("POST", "/pets/", BOY),
    http_request("GET", "/pets/1"),
)
LIVE: Final = http_request("GET", "/health/live", "", "Connection: close")

Attack = Callable[[int], Awaitable[None]]
"""Sends once, on a connection of its own, to this port, and takes the answers."""


async def send(port: int, data: bytes, *, times: int = 1) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def take() -> None:
        while await reader.read(65536):
            pass

    taking = asyncio.create_task(take())
    for _ in range(times):
        writer.write(data)
        await writer.drain()
    await taking


def sends(data: bytes, times: int = 1) -> Attack:
    async def attack(port: int) -> None:
        await send(port, data, times=times)

    return attack


def asks(path: str) -> Attack:
    async def attack(port: int) -> None:
        client = Client(port)
        while True:
            await client.ask(http_request("GET", path))

    return attack


async def ask_for_long_paths(port: int) -> None:
    client = Client(port)
    for number in range(1_100):
        path = f"/problems/{number}".ljust(63 * 1024, "x")
        await client.ask(http_request("GET", path))


def with_body(line: str, body: bytes) -> bytes:
    head = f"{line} HTTP/1.1\r\nHost: pets\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


SHORT: Final = b"GET /x HTTP/1.1\r\nHost:\r\n\r\n"
FLOATS: Final = (b"[" + b"5e-324," * (MIB // 7))[: MIB - 2] + b"1]"
MANY_FIELDS: Final = (
    b"POST /pets/ HTTP/1.1\r\nHost: pets\r\nContent-Length: 9\r\n" + b"a:b\r\n" * 12_600
)
CHUNKS: Final = (
    b"POST /pets/ HTTP/1.1\r\nHost: pets\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\n \r\n" * 300_000
)


class Scenario(NamedTuple):
    connections: int
    attack: Attack


SCENARIOS: Final = {
    "nothing": Scenario(0, asks("/")),
    "1.1 one endless pipeline": Scenario(1, sends(SHORT * 2_500, times=500)),
    "1.2 pipelines of 2 MB": Scenario(100, sends(SHORT * 80_000)),
    "1.2 chunks of one byte": Scenario(100, sends(CHUNKS)),
    "1.2 refusals": Scenario(1_500, sends(b"GARBAGE\r\n\r\n")),
    "1.3 slow bodies of POST": Scenario(8, sends(with_body("POST /pets/", FLOATS), times=20)),
    "1.3 slow bodies of DELETE": Scenario(8, sends(with_body("DELETE /pets/", FLOATS), times=20)),
    "1.4 long paths": Scenario(4, ask_for_long_paths),
    "1.5 many fields": Scenario(300, sends(MANY_FIELDS + b"\r\n")),
    "1.6 openapi.json": Scenario(1_500, asks("/schema/openapi.json")),
    "1.6 Swagger's bundle": Scenario(1_500, asks("/docs/swagger-ui-bundle.js")),
    "1.7 health/ready": Scenario(1_500, asks("/health/ready")),
}


def strike(name: str, port: int) -> None:
    """Attack until the time is over. Each connection that ends is opened again."""
    allow_open_files()
    connections, attack = SCENARIOS[name]

    async def keep_on() -> None:
        while True:
            with suppress(OSError):
                await attack(port)
            await asyncio.sleep(0.05)

    async def main() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ATTACK_SECONDS):
                await asyncio.gather(*[keep_on() for _ in range(connections)])

    asyncio.run(main())


async def measure(server: Server) -> tuple[float, int, int]:
    """Return the slowest `/health/live`, and how many requests were answered, and asked."""
    end = time.monotonic() + ATTACK_SECONDS
    slowest = 0.0
    asked = answered = 0

    async def use() -> None:
        nonlocal asked, answered
        client = Client(server.port)
        while time.monotonic() < end:
            asked += 1
            answer = await client.ask(GOOD[asked % len(GOOD)])
            answered += answer is not None and answer.status < 300
            await asyncio.sleep(PAUSE_SECONDS)
        client.close()

    async def probe() -> None:
        nonlocal slowest
        while time.monotonic() < end:
            began = time.monotonic()
            client = Client(server.port)
            answer = await client.ask(LIVE)
            client.close()
            is_alive = answer is not None and answer.status == 200
            slowest = max(slowest, time.monotonic() - began if is_alive else float("inf"))
            await asyncio.sleep(PAUSE_SECONDS / 2)

    await asyncio.gather(probe(), *[use() for _ in range(CLIENTS)])
    return slowest, answered, asked


def run(name: str) -> tuple[object, ...]:
    with tempfile.TemporaryDirectory() as folder:
        silences = Path(folder) / "silences"
        url = f"sqlite+aiosqlite:///{folder}/pets.db"
        with served("watched", url, SILENCES=str(silences)) as server:
            server.request("POST", "/pets/", BOY)
            forget_peak_memory(server.process.pid)
            silences.write_text("0\n")
            attacker = multiprocessing.get_context("spawn").Process(
                target=strike, args=(name, server.port)
            )
            attacker.start()
            slowest, answered, asked = asyncio.run(measure(server))
            largest = memory(server.process.pid)
            attacker.join()
            server.log.seek(0)
            was_killed = b"is stuck" in server.log.read()
        longest = max(map(float, silences.read_text().split()))
        silence = "killed" if was_killed else f"{longest:.2f}"
    return name, f"{largest:.0f}", silence, f"{slowest:.2f}", f"{answered} of {asked}"


if __name__ == "__main__":
    allow_open_files()
    leave_first_core()
    wanted = [
        name for name in SCENARIOS if not sys.argv[1:] or name.startswith(tuple(sys.argv[1:]))
    ]
    rows = []
    for scenario in wanted:
        rows.append(run(scenario))
        print(*rows[-1], sep="  ", file=sys.stderr)
    header = ":attack | memory, MB | silence, s | slowest live, s | good answers"
    print(*table(header, rows), sep="\n")
