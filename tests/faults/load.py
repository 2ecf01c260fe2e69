"""A steady load of creations, reads, conditional changes and deletions, and the record of it."""

import asyncio
import random
import time
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from tests.faults.client import Client, Exchange
from tests.faults.linearizability import Kind, Operation, Result, Value

CLIENTS: Final = 24
RATE: Final = 400
"""How many requests are sent in a second, if all are answered quickly."""

CONTENDED: Final = 6
"""How many pets get most of the reads and changes."""

RECENT: Final = 40
"""How many of the newest pets get the others."""

LISTED: Final = 10
RETRY_SECONDS: Final = 0.3
REPEAT_SECONDS: Final = 10
POLL_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 60
"""A client waits far longer than any deadline, so that a request that hangs is noticed."""


@dataclass(eq=False)
class Creation:
    """A pet that a client asked for: once, or with a key until it was acknowledged."""

    value: Value
    key: str | None
    called: float = field(default_factory=time.monotonic)
    answered: float = 0
    retry_at: float = 0
    may_have_happened: bool = False
    ids: set[int] = field(default_factory=set)
    """The ids in the answers. There must not be two of them."""

    def note(self, exchange: Exchange) -> None:
        self.retry_at = exchange.answered + RETRY_SECONDS
        if exchange.result is Result.DONE:
            self.answered = self.answered or exchange.answered
            self.ids.add(exchange.document["id"])
        self.may_have_happened |= exchange.result is not None


class Load:
    """Clients of a service. `operations` has what they did with each pet, by its id."""

    def __init__(self, port: int, seed: int = 1) -> None:
        self._port = port
        self._seed = seed
        self._numbers = count(1)
        self._contended: list[int] = []
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._seen: dict[int, tuple[str, Value]] = {}
        self._repeats: deque[Creation] = deque()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.exchanges: list[Exchange] = []
        self.polls: list[Exchange] = []
        self.creations: list[Creation] = []
        self.operations: dict[int, list[Operation]] = defaultdict(list)

    def start(self) -> None:
        for number in range(CLIENTS):
            chance = random.Random(f"{self._seed} {number}")
            self._tasks.append(asyncio.create_task(self._work(chance)))
        for path in ("/health/live", "/health/ready"):
            self._tasks.append(asyncio.create_task(self._poll(path)))

    async def finish(self) -> None:
        """Let every client finish, and repeat the creations with keys that are still unanswered."""
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
            self.polls.append(await client.ask("GET", path))
            await asyncio.sleep(POLL_SECONDS)
        client.close()

    async def _work(self, chance: random.Random) -> None:
        client = Client(self._port, PATIENCE_SECONDS)
        steps = [self._create, self._read, self._list, self._change, self._delete]
        while not self._stopping.is_set():
            pause = CLIENTS / RATE * chance.uniform(0.5, 1.5)
            (step,) = chance.choices(steps, [4, 8, 2, 6, 1])
            begin = time.monotonic()
            if self._repeats and self._repeats[0].retry_at < begin and chance.random() < 0.5:
                await self._attempt(client, self._repeats.popleft())
            else:
                await step(client, chance)
            remaining = begin + pause - time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), max(remaining, 0))
        client.close()

    async def _ask(
        self, client: Client, method: str, path: str, document: object = None, **headers: str
    ) -> Exchange:
        exchange = await client.ask(method, path, document, **headers)
        self.exchanges.append(exchange)
        return exchange

    def _next_value(self, word: str) -> Value:
        number = next(self._numbers)
        return f"{word} {number}", number % 101

    def _target(self, chance: random.Random) -> int | None:
        choices = self._contended if chance.random() < 0.7 else self._recent
        return chance.choice(choices) if choices else None

    async def _create(self, client: Client, chance: random.Random) -> None:
        value = self._next_value("pet")
        key = f"key of {value[0]}" if chance.random() < 1 / 3 else None
        creation = Creation(value, key and key.replace(" ", "-"))
        self.creations.append(creation)
        await self._attempt(client, creation)
        # Another client repeats a third of the requests that were acknowledged.
        if creation.key and creation.ids and chance.random() < 1 / 3:
            self._repeats.append(creation)

    async def _attempt(self, client: Client, creation: Creation) -> None:
        headers = {"idempotency_key": creation.key} if creation.key else {}
        exchange = await self._ask(client, "POST", "/pets/", _document(creation.value), **headers)
        is_first = not creation.ids
        creation.note(exchange)
        if creation.ids and is_first:
            (id_,) = creation.ids
            if len(self._contended) < CONTENDED:
                self._contended.append(id_)
            else:
                self._recent.append(id_)
        elif creation.key and not creation.ids:
            self._repeats.append(creation)

    async def _read(self, client: Client, chance: random.Random) -> None:
        id_ = self._target(chance)
        if id_ is not None:
            await self._read_one(client, id_)

    async def _read_one(self, client: Client, id_: int) -> None:
        exchange = await self._ask(client, "GET", f"/pets/{id_}")
        self._record(Kind.READ, id_, exchange)

    async def _list(self, client: Client, chance: random.Random) -> None:
        order = chance.choice(["", "&sort=-id"])
        exchange = await self._ask(client, "GET", f"/pets/?limit={LISTED}{order}")
        if exchange.result is Result.DONE:
            for pet in exchange.document["items"]:
                operation = Operation(
                    Kind.READ, Result.DONE, exchange.called, exchange.answered, _value(pet)
                )
                self.operations[pet["id"]].append(operation)

    async def _change(self, client: Client, chance: random.Random) -> None:
        id_ = self._target(chance)
        if id_ is None:
            return
        if id_ not in self._seen:
            await self._read_one(client, id_)
        if id_ in self._seen:
            tag, expected = self._seen[id_]
            value = self._next_value("change")
            exchange = await self._ask(
                client, "PATCH", f"/pets/{id_}", _document(value), if_match=tag
            )
            self._record(Kind.CHANGE, id_, exchange, value, expected)

    async def _delete(self, client: Client, chance: random.Random) -> None:
        id_ = self._target(chance)
        if id_ is None:
            return
        expected = None
        headers = {}
        if id_ in self._seen and chance.random() < 0.5:
            headers["if_match"], expected = self._seen[id_]
        exchange = await self._ask(client, "DELETE", f"/pets/{id_}", **headers)
        self._record(Kind.DELETE, id_, exchange, None, expected)
        if exchange.result is Result.DONE:
            self._forget(id_)

    def _record(
        self,
        kind: Kind,
        id_: int,
        exchange: Exchange,
        value: Value | None = None,
        expected: Value | None = None,
    ) -> None:
        result = exchange.result
        if result is None:
            return
        if result is Result.DONE and kind is not Kind.DELETE:
            seen = _value(exchange.document)
            self._seen[id_] = (exchange.tag, seen)
            value = value or seen
        elif result is Result.MISSING:
            self._forget(id_)
        else:
            self._seen.pop(id_, None)
        answered = float("inf") if result is Result.UNKNOWN else exchange.answered
        operation = Operation(kind, result, exchange.called, answered, value, expected)
        self.operations[id_].append(operation)

    def _forget(self, id_: int) -> None:
        """Let other pets be the targets from now on."""
        self._seen.pop(id_, None)
        for ids in (self._contended, self._recent):
            with suppress(ValueError):
                ids.remove(id_)


def _document(value: Value) -> dict[str, str | int]:
    name, age = value
    return {"name": name, "age": age, "type": "cat" if age % 2 else "dog"}


def _value(pet: dict[str, Any]) -> Value:  # Any: it is JSON.
    return pet["name"], pet["age"]
