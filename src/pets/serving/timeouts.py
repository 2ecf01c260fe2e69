"""How long clients and requests may take, and the sweep that ends those that take longer."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from uvicorn.server import ServerState

from pets.serving.closing import LINGER_SECONDS
from pets.serving.errors import Refusal
from pets.serving.protocol import StrictProtocol

HEAD_SECONDS: Final = 10
"""How long the head of a request may take from its first byte. Then it is refused with 408."""

BODY_SECONDS: Final = 30
"""How long the body of a request may take from its head. Then it is refused with 408."""

READER_SECONDS: Final = 30
"""How long a client may take nothing of what was written to it. Then it is cut off."""

IDLE_SECONDS: Final = 75
"""How long a connection may be without a request, the first one too. Then it is closed."""

QUIET_SECONDS: Final = 2
"""The same while the service stops."""

STOP_SECONDS: Final = 6
"""How long a service that stops waits for a client, whatever for. Then it is cut off.

With two sweeps this is as long as requests in flight may take, so nothing is left to wait for.
"""

SWEEP_SECONDS: Final = 1
"""The time between two sweeps. All that is above may take up to so much longer."""

MAX_ENDS: Final = 64
"""How many connections and requests are ended in one turn of the event loop."""

_MEAN_AGE: Final = SWEEP_SECONDS / 2
"""How long ago a request began that a sweep sees for the first time."""


_TOO_SLOW: Final = (
    f"A head must arrive within {HEAD_SECONDS} seconds, a body within {BODY_SECONDS} more, "
    "and both before the service stops."
)


class Wait(NamedTuple):
    """What a connection waits for: at most for so many seconds, and what ends it then.

    The `owner` is the request or the task that is waited for. For another one the time begins anew.
    """

    seconds: float
    end: Callable[[], None]
    owner: object


class TimedProtocol(StrictProtocol):
    """A connection that ends if its client takes too long."""

    takes_too_long = False
    is_waited_for = False  # The client, and not the service, says how long it takes.
    _wait: Wait | None = None
    _wait_began = 0.0
    _stop_began: float | None = None
    _unread = 0  # bytes of answers that the client has not taken

    def check(self, now: float) -> None:
        """Find what the connection waits for at this time, and whether it has for too long."""
        unread = self.transport.get_write_buffer_size()
        wait = self._find_wait(unread)
        if wait != self._wait or unread < self._unread:
            self._wait = wait
            self._wait_began = now
        self._unread = unread
        self.is_waited_for = wait.seconds < math.inf or self._streams()
        self.takes_too_long = now - self._wait_began >= wait.seconds
        if self._stops:
            if self._stop_began is None:
                self._stop_began = now
            if self.is_waited_for and now - self._stop_began >= STOP_SECONDS:
                self.takes_too_long = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wait = None  # The client has read much, though more may be written for it at once.

    def _streams(self) -> bool:
        """Whether an answer has begun and not ended. Then it goes as fast as its client reads."""
        cycle = self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def end(self) -> None:
        """End what takes too long, unless the client has sent more since it was checked."""
        wait = self._find_wait(self.transport.get_write_buffer_size())
        if wait == self._wait and not self.waits_to_parse:
            wait.end()

    def _find_wait(self, unread: int) -> Wait:
        cycle = self.cycle
        if unread:
            return Wait(READER_SECONDS, self.transport.abort, self.task)
        if self._answers.is_lingering:
            return Wait(LINGER_SECONDS, self.transport.close, cycle)
        if self._is_idle():
            # The parser makes a scope when a head begins.
            last_scope = cycle.scope if cycle else None
            if self.scope is last_scope:
                seconds = QUIET_SECONDS if self._stops else IDLE_SECONDS
                return Wait(seconds, self.transport.close, cycle)
            return Wait(HEAD_SECONDS, self._refuse_slow_request, cycle)
        if self._awaits_body and not self._refused:
            return Wait(BODY_SECONDS, self._refuse_slow_request, cycle)
        return Wait(math.inf, self.transport.close, cycle)  # for the application

    def _refuse_slow_request(self) -> None:
        self._refuse(Refusal(408, _TOO_SLOW))
        if self._stops:  # Nobody has time for what the client may still send.
            self._answers.lingers = False


class Sweep:
    """Ends connections and requests that take too long. It looks at all of them once a second.

    A timer for each request would take more time. A request has `request_seconds`, give or take
    one, from when it is admitted and has arrived in full, also if its client has gone. An answer
    that has begun takes as long as its client reads.
    """

    _state: ServerState
    _loop: asyncio.AbstractEventLoop

    def __init__(self, request_seconds: float) -> None:
        self._request_seconds = request_seconds
        self._now = 0.0
        self._last_turn = 0.0
        self._is_due = False
        self._began: dict[asyncio.Task[None], float] = {}
        self._ends: deque[Callable[[], object]] = deque()

    def begin(self, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep from now on, until all connections and requests have ended."""
        self._state = state
        self._loop = loop
        if not self._is_due:
            self._schedule()

    def _schedule(self) -> None:
        self._is_due = True
        self._last_turn = self._loop.time()
        self._loop.call_later(SWEEP_SECONDS, self._turn)

    def _turn(self) -> None:
        elapsed = self._loop.time() - self._last_turn
        self._is_due = False
        try:
            # A process that was stopped could not read, so clients do not lose that time.
            self.run(min(elapsed, 2 * SWEEP_SECONDS))
        finally:
            if self._state.connections or self._state.tasks:
                self._schedule()

    def run(self, elapsed: float) -> None:
        """End what takes too long, so many seconds after the last time."""
        self._now += elapsed
        # Any: uvicorn knows only its own protocols.
        connections: list[Any] = [*self._state.connections]
        for connection in connections:
            connection.check(self._now)
            if connection.takes_too_long:
                self._ends.append(connection.end)
            if connection.is_waited_for:
                self._began[connection.task] = self._now
        began = {}
        for task in self._state.tasks:
            began[task] = self._began.get(task, self._now - _MEAN_AGE)
            if self._now - began[task] >= self._request_seconds:
                self._ends.append(task.cancel)
                began[task] = self._now  # It is cancelled again after as long.
        self._began = began
        self._end_some()

    def _end_some(self) -> None:
        for _ in range(min(MAX_ENDS, len(self._ends))):
            self._ends.popleft()()
        if self._ends:
            self._loop.call_soon(self._end_some)
