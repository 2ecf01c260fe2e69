"""The context of a request: its id, its trace, and the functions that observe its answer."""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, ContextVar
from random import getrandbits
from time import perf_counter
from typing import Final, NamedTuple

from pets.asgi import ASGIApp, Header, Message, Receive, Scope, Send, header_values

MAX_REQUEST_ID_LENGTH: Final = 128
REQUEST_ID_PATTERN: Final = f"[A-Za-z0-9_.:/+=-]{{1,{MAX_REQUEST_ID_LENGTH}}}"

request_id: Final = ContextVar("request_id", default="")
"""The id of the request that this task answers."""

_scope: Final[ContextVar[Scope]] = ContextVar("scope", default=None)

NO_REQUEST: Final = Context()
"""For callbacks that serve many requests, so that they do not log the id of any of them."""

ARRIVED: Final = "arrived"
"""The key of a scope for the time when its request began to wait, if it waited."""

TRACE: Final = "trace"
"""The key of a scope for the id of its trace, if this service makes a span for it."""

_REQUEST_ID: Final = re.compile(REQUEST_ID_PATTERN.encode())
_TRACE_PARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


class Observation(NamedTuple):
    """A request that was answered, or that failed before it was."""

    scope: Scope
    route: str
    """The template of the path, such as `/pets/{pet_id}`, or "" if no route matched."""
    status: int
    """The status of the answer, or 0 if none was sent."""
    seconds: float
    """The time since its head arrived, also while it waited for its turn."""


Observe = Callable[[Observation], None]


class RequestContext:
    """An ASGI application whose requests have an id, and are observed when they are answered.

    The id is the client's own, if it sent a well-formed one. All answers have the `headers`.
    """

    def __init__(
        self, app: ASGIApp, observers: Sequence[Observe] = (), headers: Sequence[Header] = ()
    ) -> None:
        self._app = app
        self._observers = observers
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = scope.get(ARRIVED) or perf_counter()
        id_ = _id_of(scope)
        request_id.set(id_)
        _scope.set(scope)
        status = 0

        # It is not a coroutine function, because that would take half a microsecond more.
        def answer(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # The list may be shared with other answers, but the message is not.
                own_headers = [*message["headers"], *self._headers, (b"request-id", id_.encode())]
                message["headers"] = own_headers
            return send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            if self._observers:
                seconds = perf_counter() - began
                seen = Observation(scope, scope.get("path_template", ""), status, seconds)
                for observe in self._observers:
                    observe(seen)


def trace_id() -> str:
    """Return the id of the trace that the request of this task belongs to, or "".

    It is that of the span that this service makes, or else the one in the client's `traceparent`.
    """
    scope = _scope.get()
    if scope and TRACE in scope:
        return str(scope[TRACE])
    sent = header_values(scope, b"traceparent") if scope else []
    match = _TRACE_PARENT.fullmatch(sent[0]) if len(sent) == 1 else None
    return match[1].decode() if match else ""


def _id_of(scope: Scope) -> str:
    sent = header_values(scope, b"request-id")
    if len(sent) == 1 and _REQUEST_ID.fullmatch(sent[0]):
        return sent[0].decode()
    return f"{getrandbits(128):032x}"  # An id is no secret, so it may be guessed.
