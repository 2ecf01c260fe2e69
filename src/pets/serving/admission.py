"""Admission: requests wait for their turn here, however many come at once."""

import asyncio
import logging
from collections import deque
from contextvars import Context
from time import perf_counter
from typing import Final
from urllib.parse import unquote_to_bytes

from pets.serving.asgi import SAFE_METHODS, AnswerRefusal, ASGIApp, Receive, Scope, Send
from pets.serving.cycle import AnswerCycle
from pets.serving.errors import Refusal
from pets.serving.queues import Capacity, Priorities, Queue, WaitingRequest
from pets.serving.reading import ReadingProtocol
from pets.serving.timeouts import Sweep, TimedProtocol

MAX_WAIT_SECONDS: Final = 1.2
"""How long a request waits to be admitted. After that it is rejected."""

MAX_STARTS: Final = 64
"""How many requests begin in one turn of the event loop, so that a turn stays short."""

MAX_REJECTIONS: Final = 256
"""How many requests are rejected in one turn. A rejection takes about a quarter of a listing."""

MAX_PARTS: Final = 64
"""How many parts of requests are parsed in one turn, of all connections together.

The slowest part is 2 KiB of a body whose chunks have one byte each.
"""

MAX_URGENT_PARTS: Final = 16
"""How many of these parts are the first, of urgent requests."""

ARRIVED: Final = "arrived"
"""The name under which a scope has the time when its request began to wait, if it waited."""

_POLL_SECONDS: Final = 0.005

_REJECTION: Final = "The service has more to do than it can do in time. It has not begun this."

_NO_REQUEST: Final = Context()
"""For turns, which serve many requests. So what they log has the id of none of them."""

logger = logging.getLogger(__name__)


class Admission:
    """An application, and the requests that wait to be admitted to it.

    In each turn of the event loop at most MAX_STARTS requests are admitted, and only while there is
    room for their work. A request that has waited for MAX_WAIT_SECONDS is rejected. Its client
    learns this no sooner, so clients that come back at once cannot keep the service busy.

    Reads, expensive reads and writes have a queue each, so that none of these kinds waits for
    another one. The queues take turns at being the first.

    Requests are also parsed in turns, because parsing many takes long too.
    """

    def __init__(
        self,
        app: ASGIApp,
        capacity: Capacity,
        priorities: Priorities,
        *,
        answer_refusal: AnswerRefusal,
        request_seconds: float,
    ) -> None:
        self.sweep = Sweep(request_seconds)
        self.answer_refusal = answer_refusal
        self._rejection = answer_refusal(Refusal(503, _REJECTION))
        self._app = app
        self._urgent_path = priorities.urgent_path
        self._is_expensive = priorities.expensive_query.search
        self._urgent_line = b"GET " + priorities.urgent_path.encode()
        self._urgent_parsers: deque[ReadingProtocol] = deque()
        self._parsers: deque[ReadingProtocol] = deque()
        self._parts = 0  # in this turn
        self._reads, self._expensive_reads, self._writes = map(Queue, capacity)
        self._queues = deque([self._reads, self._expensive_reads, self._writes])
        self._starts = 0  # in this turn
        self._rejections = 0  # since the last time when none waited
        self._all_rejections = 0
        self._turn_is_due = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def waiting(self) -> int:
        """How many requests wait to be admitted."""
        return sum(len(queue.requests) for queue in self._queues)

    def parsing(self) -> int:
        """How many connections wait to parse what they have read."""
        return len(self._urgent_parsers) + len(self._parsers)

    def rejected(self) -> int:
        """How many requests were rejected so far."""
        return self._all_rejections

    def admit(self, protocol: "ServedProtocol", cycle: AnswerCycle, /) -> None:
        """Let a request begin, or let it wait for its turn."""
        scope: Scope = cycle.scope
        if scope["path"].startswith(self._urgent_path):
            protocol.start(cycle, self._app)
            return
        queue = self._queue_of(scope)
        if queue.requests or self._starts >= MAX_STARTS or not queue.has_room():
            scope[ARRIVED] = perf_counter()
            deadline = protocol.loop.time() + MAX_WAIT_SECONDS
            queue.requests.append(WaitingRequest(deadline, protocol, cycle))
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
            is_urgent = connection.continues_with(self._urgent_line)
            (self._urgent_parsers if is_urgent else self._parsers).append(connection)
            if not self._turn_is_due:
                self._schedule_turn(connection.loop)

    def _schedule_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn_is_due = True
        loop.call_soon(self._turn, loop, context=_NO_REQUEST)

    def _parse_waiting(self) -> None:
        """Let each connection parse one part after the other, as many as there is time for."""
        for parsers, most in (self._urgent_parsers, MAX_URGENT_PARTS), (self._parsers, MAX_PARTS):
            while parsers and self._parts < most:
                self._parts += 1
                connection = parsers.popleft()
                connection.waits_to_parse = False
                if connection.parse_part():
                    self.parse_later(connection)

    def _queue_of(self, scope: Scope) -> Queue:
        if scope["method"] not in SAFE_METHODS:
            return self._writes
        query = scope["query_string"]
        if b"%" in query:
            query = unquote_to_bytes(query)
        if self._is_expensive(query):
            return self._expensive_reads
        return self._reads

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._starts = 0
        self._parts = 0
        if self.parsing() or any(queue.requests for queue in self._queues):
            self._serve_waiting(loop)
        else:  # as after each request of a single client
            self._turn_is_due = False

    def _serve_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        self._parse_waiting()
        self._queues.rotate()
        served = sum(self._admit_or_reject(queue, loop.time()) for queue in self._queues)
        some_wait = self.waiting() > 0
        if self._rejections and not some_wait:
            logger.warning("Rejected %d requests. Now none waits.", self._rejections)
            self._rejections = 0
        some_parse = self.parsing() > 0
        self._turn_is_due = served > 0 or some_wait or some_parse
        if served or some_parse:
            loop.call_soon(self._turn, loop)
        elif some_wait:
            loop.call_later(_POLL_SECONDS, self._turn, loop)

    def _admit_or_reject(self, queue: Queue, now: float) -> int:
        """Admit or reject the requests whose turn it is, and return their number."""
        served = 0
        while queue.requests and served < MAX_REJECTIONS:
            deadline, protocol, cycle = queue.requests[0]
            is_late = deadline < now
            if not is_late and (self._starts >= MAX_STARTS or not queue.has_room()):
                break
            queue.requests.popleft()
            if protocol.transport.is_closing():
                continue
            served += 1
            if is_late:
                self._count_rejection()
                protocol.start(cycle, self._rejection)
            else:
                self._starts += 1
                protocol.start(cycle, self._app)
        return served

    def _count_rejection(self) -> None:
        if not self._rejections:
            logger.warning("Rejecting requests that have waited for %s s.", MAX_WAIT_SECONDS)
        self._rejections += 1
        self._all_rejections += 1


class ServedProtocol(TimedProtocol):
    """A connection whose requests an `Admission` admits."""

    app: Admission

    # As in the class above, the type of the transport is narrower than asyncio's.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app.sweep.begin(self.server_state, self.loop)
