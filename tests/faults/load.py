"""A steady load of creations, reads, conditional changes and deletions, which is recorded."""

import asyncio
import random
import time
from collections import deque
from contextlib import suppress
from itertools import count
from typing import Final

from tests.faults.client import Client, Exchange
from tests.faults.linearizability import Kind, Result, Value
from tests.faults.record import Creation, Record, value_of

CLIENTS: Final = 24
RATE: Final = 400
"""How many requests are sent in a second, if all are answered quickly."""

CONTENDED: Final = 6
"""How many pets get most of the reads and changes."""

RECENT: Final = 40
"""How many of the newest pets get the others."""

LISTED: Final = 10
REPEAT_SECONDS: Final = 10
POLL_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 60
"""A client waits far longer than any deadline, so that a request that hangs is noticed."""


class Targets:
    """The pets that clients work on, and the tag and value that each was last seen with."""

    def __init__(self) -> None:
        self._contended: list[int] = []
        self._recent: deque[int] = deque(maxlen=RECENT)
        self.seen: dict[int, tuple[str, Value]] = {}

    def add(self, id_: int) -> None:
        is_wanted = len(self._contended) < CONTENDED
        (self._contended if is_wanted else self._recent).append(id_)

    def choose(self, chance: random.Random) -> int | None:
        ids = self._contended if chance.random() < 0.7 else self._recent
        return chance.choice(ids) if ids else None

    def note(self, id_: int, exchange: Exchange) -> None:
        """Remember the answer about a pet. One that is gone is no target any more."""
        self.seen.pop(id_, None)
        is_done = exchange.result is Result.DONE
        if is_done and exchange.method != "DELETE":
            self.seen[id_] = (exchange.tag, value_of(exchange.document))
        elif is_done or exchange.result is Result.MISSING:
            for ids in (self._contended, self._recent):
                with suppress(ValueError):
                    ids.remove(id_)


class Load:
    """Clients of a service."""

    def __init__(self, port: int) -> None:
        self.record = Record()
        self._port = port
        self._numbers = count(1)
        self._targets = Targets()
        self._repeats: deque[Creation] = deque()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

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
        client = Client(self._port, PATIENCE_SECONDS)
        end = time.monotonic() + REPEAT_SECONDS
        while self._repeats and time.monotonic() < end:
            await self._attempt(client, self._repeats.popleft())
        client.close()

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _poll(self, path: str) -> None:
        client = Client(self._port, PATIENCE_SECONDS)
        while not self._stopping.is_set():
            self.record.polls.append(await client.ask("GET", path))
            await asyncio.sleep(POLL_SECONDS)
        client.close()

    async def _work(self, chance: random.Random) -> None:
        client = Client(self._port, PATIENCE_SECONDS)
        steps = [self._create, self._read, self._list, self._change, self._delete]
        while not self._stopping.is_set():
            (step,) = chance.choices(steps, [4, 8, 2, 6, 1])
            begin = time.monotonic()
            if self._has_repeat(begin) and chance.random() < 0.5:
                await self._attempt(client, self._repeats.popleft())
            else:
                await step(client, chance)
            pause = CLIENTS / RATE * chance.uniform(0.5, 1.5)
            remaining = begin + pause - time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), max(remaining, 0))
        client.close()

    async def _ask(
        self, client: Client, method: str, path: str, document: object = None, **headers: str
    ) -> Exchange:
        exchange = await client.ask(method, path, document, **headers)
        self.record.exchanges.append(exchange)
        return exchange

    def _next_value(self, word: str) -> Value:
        number = next(self._numbers)
        return f"{word} {number}", number % 101

    async def _create(self, client: Client, chance: random.Random) -> None:
        value = self._next_value("pet")
        has_key = chance.random() < 1 / 3
        creation = Creation(value, value[0].replace(" ", "-") if has_key else None)
        self.record.creations.append(creation)
        await self._attempt(client, creation)
        # Another client repeats some of the requests that were acknowledged.
        if creation.key and creation.ids and chance.random() < 1 / 3:
            self._repeats.append(creation)

    def _has_repeat(self, now: float) -> bool:
        return bool(self._repeats) and self._repeats[0].retry_at < now

    async def _attempt(self, client: Client, creation: Creation) -> None:
        headers = {"idempotency_key": creation.key} if creation.key else {}
        was_acknowledged = bool(creation.ids)
        exchange = await self._ask(client, "POST", "/pets/", _document(creation.value), **headers)
        creation.note(exchange)
        if creation.ids and not was_acknowledged:
            self._targets.add(exchange.document["id"])
        elif creation.key and not creation.ids:
            self._repeats.append(creation)

    async def _read(self, client: Client, chance: random.Random) -> None:
        id_ = self._targets.choose(chance)
        if id_ is not None:
            await self._read_one(client, id_)

    async def _read_one(self, client: Client, id_: int) -> None:
        exchange = await self._ask(client, "GET", f"/pets/{id_}")
        self._targets.note(id_, exchange)
        self.record.add(Kind.READ, id_, exchange)

    async def _list(self, client: Client, chance: random.Random) -> None:
        order = chance.choice(["", "&sort=-id"])
        self.record.add_page(await self._ask(client, "GET", f"/pets/?limit={LISTED}{order}"))

    async def _change(self, client: Client, chance: random.Random) -> None:
        id_ = self._targets.choose(chance)
        if id_ is None:
            return
        if id_ not in self._targets.seen:
            await self._read_one(client, id_)
        if id_ in self._targets.seen:
            tag, expected = self._targets.seen[id_]
            value = self._next_value("change")
            path = f"/pets/{id_}"
            exchange = await self._ask(client, "PATCH", path, _document(value), if_match=tag)
            self._targets.note(id_, exchange)
            self.record.add(Kind.CHANGE, id_, exchange, value, expected)

    async def _delete(self, client: Client, chance: random.Random) -> None:
        id_ = self._targets.choose(chance)
        if id_ is None:
            return
        expected = None
        headers = {}
        if id_ in self._targets.seen and chance.random() < 0.5:
            headers["if_match"], expected = self._targets.seen[id_]
        exchange = await self._ask(client, "DELETE", f"/pets/{id_}", **headers)
        self._targets.note(id_, exchange)
        self.record.add(Kind.DELETE, id_, exchange, None, expected)


def _document(value: Value) -> dict[str, str | int]:
    name, age = value
    return {"name": name, "age": age, "type": "cat" if age % 2 else "dog"}
