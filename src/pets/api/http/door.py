"""The door of the service: requests wait here for their turn, however many come at once."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from random import randint
from time import perf_counter
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from pets.api.http.closing import log_refusal
from pets.api.http.reading import ReadingProtocol
from pets.api.http.timeouts import Sweep, TimedProtocol
from pets.api.problems import (
    MAX_RETRY_AFTER_SECONDS,
    NOT_DONE,
    problem,
    problem_answer,
)
from pets.asgi import SAFE_METHODS as READING
from pets.telemetry.request_context import ARRIVED, NO_REQUEST, REFUSAL
from pets.telemetry.request_context import RequestContext as Exchange

MAX_WAIT_SECONDS: Final = 1.2
"""How long a request waits to be let in. After that it is rejected."""

MAX_STARTS: Final = 64
"""How many requests begin in one turn of the event loop, so that a turn stays short."""

MAX_REJECTIONS: Final = 256
"""How many requests are rejected in one turn. A rejection takes about a quarter of a listing."""

MAX_PARTS: Final = 64
"""How many parts of requests are parsed in one turn, of all connections together.

The slowest part is 2 KiB of a body whose chunks have one byte each.
"""

_POLL_SECONDS: Final = 0.005

_REJECTION: Final = "The service has more to do than it can do in time. It has not begun this."
# A guess that needs no parsing is enough. If it is wrong, a request waits in the other queue.
_EXPENSIVE: Final = re.compile(rb"(?:^|&)(?:name=|limit=\d{3})")

logger = logging.getLogger(__name__)


class _Visitor(NamedTuple):
    """A request that waits to be let in, until its deadline."""

    deadline: float
    protocol: "DoorProtocol"
    cycle: RequestResponseCycle


class _Queue:
    """Requests that wait for the same room, the first in front."""

    def __init__(self, has_room: Callable[[], bool]) -> None:
        self.has_room = has_room
        self.visitors: deque[_Visitor] = deque()


def _always() -> bool:
    return True


class Rooms(NamedTuple):
    """Whether there is room for the work of more requests, for each kind of them."""

    reads: Callable[[], bool] = _always
    expensive_reads: Callable[[], bool] = _always
    writes: Callable[[], bool] = _always


class Door:
    """An application, and the requests that wait to be let into it.

    In each turn of the event loop at most MAX_STARTS requests come in, and only while there is
    room for their work. A request that has waited for MAX_WAIT_SECONDS is rejected. Its client
    learns this no sooner, so clients that come back at once cannot keep the service busy.

    Reads, expensive reads and writes have a room and a queue each, so that none of these kinds
    waits for another one. The queues take turns at being the first.

    Requests are also parsed in turns, because parsing many takes long too.
    """

    def __init__(
        self,
        app: ASGIApp,
        rooms: Rooms,
        *,
        request_seconds: float,
        around: Callable[[ASGIApp], ASGIApp] = Exchange,
    ) -> None:
        self.sweep = Sweep(request_seconds)
        self._app = app
        self.refusing: ASGIApp = around(_refuse)
        self._rejection = around(_reject)
        self._parsers: deque[ReadingProtocol] = deque()
        self._parts = 0  # in this turn
        self._reads, self._expensive_reads, self._writes = map(_Queue, rooms)
        self._queues = deque([self._reads, self._expensive_reads, self._writes])
        self._starts = 0  # in this turn
        self._rejections = 0  # since the last time when nobody waited
        self._all_rejections = 0
        self._turn_is_due = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def waiting(self) -> int:
        """How many requests wait to be let in."""
        return sum(len(queue.visitors) for queue in self._queues)

    def parsing(self) -> int:
        """How many connections wait to parse what they have read."""
        return len(self._parsers)

    def rejected(self) -> int:
        """How many requests were rejected so far."""
        return self._all_rejections

    def receive(self, protocol: "DoorProtocol", cycle: RequestResponseCycle) -> None:
        """Let a request in, or let it wait for its turn. Checks of health never wait."""
        if cycle.scope["path"].startswith("/health/"):
            protocol.start(cycle, self._app)
            return
        queue = self._queue_of(cycle)
        if queue.visitors or self._starts >= MAX_STARTS or not queue.has_room():
            # uvicorn's type of a scope knows only the members of ASGI.
            cycle.scope[ARRIVED] = perf_counter()  # type: ignore[typeddict-unknown-key]
            deadline = protocol.loop.time() + MAX_WAIT_SECONDS
            queue.visitors.append(_Visitor(deadline, protocol, cycle))
        else:
            self._starts += 1
            protocol.start(cycle, self._app)

    def parse(self, connection: ReadingProtocol, /) -> None:
        """Let a connection parse what it has read, in this turn or in later ones."""
        if not self._turn_is_due:
            self._schedule_turn(connection.loop)
        while self._parts < MAX_PARTS and not self._parsers:
            self._parts += 1
            if not connection.parse_part():
                return
        self.parse_later(connection)

    def parse_later(self, connection: ReadingProtocol, /) -> None:
        """Let a connection parse what it has read, in later turns."""
        if not connection.waits_to_parse:
            connection.waits_to_parse = True
            self._parsers.append(connection)
            if not self._turn_is_due:
                self._schedule_turn(connection.loop)

    def _schedule_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn_is_due = True
        loop.call_soon(self._turn, loop, context=NO_REQUEST)

    def _parse_waiting(self) -> None:
        """Let each connection parse one part after the other, as many as there is time for."""
        self._parts = 0
        while self._parsers and self._parts < MAX_PARTS:
            self._parts += 1
            connection = self._parsers.popleft()
            if connection.parse_part():
                self._parsers.append(connection)
            else:
                connection.waits_to_parse = False

    def _queue_of(self, cycle: RequestResponseCycle) -> _Queue:
        scope = cycle.scope
        if scope["method"] not in READING:
            return self._writes
        query = scope["query_string"]
        if b"%" in query:
            query = unquote_to_bytes(query)
        if _EXPENSIVE.search(query):
            return self._expensive_reads
        return self._reads

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._starts = 0
        self._parse_waiting()
        self._queues.rotate()
        served = sum(self._serve(queue, loop.time()) for queue in self._queues)
        somebody_waits = self.waiting() > 0
        if self._rejections and not somebody_waits:
            logger.warning("Rejected %d requests. Now none waits.", self._rejections)
            self._rejections = 0
        self._turn_is_due = served > 0 or somebody_waits or len(self._parsers) > 0
        if served or self._parsers:
            loop.call_soon(self._turn, loop)
        elif somebody_waits:
            loop.call_later(_POLL_SECONDS, self._turn, loop)

    def _serve(self, queue: _Queue, now: float) -> int:
        """Let in or reject those whose turn it is, and return their number."""
        served = 0
        while queue.visitors and served < MAX_REJECTIONS:
            deadline, protocol, cycle = queue.visitors[0]
            app: ASGIApp = self._app
            if deadline < now:
                app = self._rejection
            elif self._starts >= MAX_STARTS or not queue.has_room():
                break
            queue.visitors.popleft()
            if protocol.transport.is_closing():
                continue
            served += 1
            if app is self._rejection:
                self._count_rejection()
            else:
                self._starts += 1
            protocol.start(cycle, app)
        return served

    def _count_rejection(self) -> None:
        if not self._rejections:
            logger.warning("Rejecting requests that have waited for %s s.", MAX_WAIT_SECONDS)
        self._rejections += 1
        self._all_rejections += 1


async def _reject(scope: Scope, receive: Receive, send: Send) -> None:
    retry_after = randint(1, MAX_RETRY_AFTER_SECONDS)  # noqa: S311  # Nobody gains by guessing it.
    document = problem(503, _REJECTION, "/", type_=NOT_DONE)
    answer = problem_answer(document, (b"retry-after", b"%d" % retry_after))
    await answer(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    # Litestar's type of a scope knows only the members of ASGI.
    refusal: HTTPException = scope[REFUSAL]  # type: ignore[typeddict-item]
    log_refusal(refusal)
    answer = problem_answer(problem(refusal.status_code, refusal.detail, "/"))
    await answer(scope, receive, send)


class DoorProtocol(TimedProtocol):
    """A connection to an application behind a `Door`."""

    app: Door

    # As in the class above, the type of the transport is narrower than asyncio's.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app.sweep.begin(self.server_state, self.loop)

    def _start_asgi_task(self, cycle: RequestResponseCycle, _app: object) -> None:
        self.app.receive(self, cycle)
