"""The queues of requests that wait to be admitted, and what tells the queue of a request."""

import re
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from pets.serving.cycle import AnswerCycle
from pets.serving.timeouts import TimedProtocol


class WaitingRequest(NamedTuple):
    """A request that waits to be admitted, until its deadline."""

    deadline: float
    protocol: TimedProtocol
    cycle: AnswerCycle


class Queue:
    """Requests that wait for the same kind of capacity, the first in front."""

    def __init__(self, has_room: Callable[[], bool]) -> None:
        self.has_room = has_room
        self.requests: deque[WaitingRequest] = deque()


def _always() -> bool:
    return True


class Capacity(NamedTuple):
    """Whether there is room for the work of more requests, for each kind of them.

    These functions are asked before each request, so they must return at once.
    """

    reads: Callable[[], bool] = _always
    expensive_reads: Callable[[], bool] = _always
    writes: Callable[[], bool] = _always


class Priorities(NamedTuple):
    """Which requests do not wait in the common queues."""

    urgent_path: str
    """A request whose path begins like this never waits."""
    expensive_query: re.Pattern[bytes]
    """A read whose query matches this is an expensive one."""
