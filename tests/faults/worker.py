"""One of the clients that a load consists of: it creates, reads, changes and deletes pets."""

import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from tests.faults.client import Client, Exchange
from tests.faults.linearizability import Kind, Result, Value
from tests.faults.record import Creation, Record, value_of

CONTENDED: Final = 6
"""How many pets get most of the reads and changes."""

RECENT: Final = 40
"""How many of the newest pets get the others."""

LISTED: Final = 10


class Targets:
    """The pets that clients work on, and the tag and value that each was last seen with."""

    def __init__(self) -> None:
        self._contended: list[int] = []
        self._recent: deque[int] = deque(maxlen=RECENT)
        self.seen: dict[int, tuple[str, Value]] = {}

    def add(self, id_: int) -> None:
        is_wanted = len(self._contended) < CONTENDED
        (self._contended if is_wanted else self._recent).append(id_)

    def choose(self, chance: random.Random) -> int:
        """Return the id of a pet; 1 while none is known."""
        ids = self._contended if chance.random() < 0.7 else self._recent
        return chance.choice(ids or [1])

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


@dataclass
class Shared:
    """What the clients of a load have in common. `repeats` are creations to be sent again."""

    record: Record = field(default_factory=Record)
    targets: Targets = field(default_factory=Targets)
    repeats: deque[Creation] = field(default_factory=deque)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))


class Worker:
    def __init__(self, client: Client, shared: Shared, chance: random.Random) -> None:
        self._client = client
        self._shared = shared
        self._chance = chance
        self._steps = [self._create, self._read, self._list, self._change, self._delete]

    async def step(self) -> None:
        """Do one thing, by chance."""
        repeats = self._shared.repeats
        is_due = bool(repeats) and repeats[0].retry_at < time.monotonic()
        if is_due and self._chance.random() < 0.5:
            await self.repeat()
        else:
            (step,) = self._chance.choices(self._steps, [4, 8, 2, 6, 1])
            await step()

    async def repeat(self) -> None:
        await self._send(self._shared.repeats.popleft())

    async def _ask(
        self, method: str, path: str, document: object = None, **headers: str
    ) -> Exchange:
        exchange = await self._client.ask(method, path, document, **headers)
        self._shared.record.exchanges.append(exchange)
        return exchange

    def _next_value(self, word: str) -> Value:
        number = next(self._shared.numbers)
        return f"{word} {number}", number % 101

    async def _create(self) -> None:
        value = self._next_value("pet")
        has_key = self._chance.random() < 1 / 3
        creation = Creation(value, value[0].replace(" ", "-") if has_key else None)
        self._shared.record.creations.append(creation)
        await self._send(creation)
        # Another client repeats some of the requests that were acknowledged.
        if creation.key and creation.ids and self._chance.random() < 1 / 3:
            self._shared.repeats.append(creation)

    async def _send(self, creation: Creation) -> None:
        headers = {"idempotency_key": creation.key} if creation.key else {}
        was_acknowledged = bool(creation.ids)
        exchange = await self._ask("POST", "/pets/", _document(creation.value), **headers)
        creation.note(exchange)
        if creation.ids and not was_acknowledged:
            self._shared.targets.add(exchange.document["id"])
        elif creation.key and not creation.ids:
            self._shared.repeats.append(creation)

    async def _read(self) -> None:
        await self._read_one(self._shared.targets.choose(self._chance))

    async def _read_one(self, id_: int) -> None:
        exchange = await self._ask("GET", f"/pets/{id_}")
        self._note(Kind.READ, id_, exchange)

    async def _list(self) -> None:
        order = self._chance.choice(["", "&sort=-id"])
        exchange = await self._ask("GET", f"/pets/?limit={LISTED}{order}")
        self._shared.record.add_page(exchange)

    async def _change(self) -> None:
        """Change a pet if it still is as it was last seen, perhaps by another client."""
        id_ = self._shared.targets.choose(self._chance)
        seen = self._shared.targets.seen
        if id_ not in seen:
            await self._read_one(id_)
        if id_ in seen:
            tag, expected = seen[id_]
            value = self._next_value("change")
            exchange = await self._ask("PATCH", f"/pets/{id_}", _document(value), if_match=tag)
            self._note(Kind.CHANGE, id_, exchange, value, expected)

    async def _delete(self) -> None:
        """Delete a pet, with a condition or without one."""
        id_ = self._shared.targets.choose(self._chance)
        seen = self._shared.targets.seen
        expected = None
        headers = {}
        if id_ in seen and self._chance.random() < 0.5:
            headers["if_match"], expected = seen[id_]
        exchange = await self._ask("DELETE", f"/pets/{id_}", **headers)
        self._note(Kind.DELETE, id_, exchange, None, expected)

    def _note(
        self,
        kind: Kind,
        id_: int,
        exchange: Exchange,
        value: Value | None = None,
        expected: Value | None = None,
    ) -> None:
        self._shared.targets.note(id_, exchange)
        self._shared.record.add(kind, id_, exchange, value, expected)


def _document(value: Value) -> dict[str, str | int]:
    name, age = value
    return {"name": name, "age": age, "type": "cat" if age % 2 else "dog"}
