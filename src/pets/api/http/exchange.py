"""What every request gets, whatever answers it: an id, and observers of how it went."""

import re
from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar
from random import getrandbits
from time import perf_counter
from typing import Any, Final, NamedTuple

from pets.api.http.answer import Header
from pets.api.http.request import headers
from pets.api.schemas import REQUEST_ID_PATTERN

request_id: Final = ContextVar("request_id", default="")
"""The id of the request that this task answers."""

# Any, here and below: Litestar and uvicorn type ASGI applications and scopes differently.
_scope: Final[ContextVar[Any]] = ContextVar("scope", default=None)

NO_REQUEST: Final = Context()
"""For callbacks that serve many requests, so that they do not log the id of any of them."""

ARRIVED: Final = "arrived"
"""The name under which a scope has the time when its request began to wait, if it waited."""

TRACE: Final = "trace"
"""The name under which a scope has the id of its trace, if this service makes a span for it."""

_WELL_FORMED: Final = re.compile(REQUEST_ID_PATTERN.encode())
_TRACE_PARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


class Observation(NamedTuple):
    """A request that was answered, or failed to be."""

    scope: Any  # Any: see above.
    route: str
    """The template of the path, such as `/pets/{pet_id}`, or "" if no route matched."""
    status: int
    """The status of the answer, or 0 if none was sent."""
    seconds: float
    """Since its head arrived, so with the time that it waited to be let in."""


Observe = Callable[[Observation], None]


class Exchange:
    """An ASGI application whose requests have an id, and are observed when they are answered.

    The id is the client's own, if it sent a well-formed one. All answers have the `headers`.
    """

    # Any: see above.
    def __init__(
        self, app: Any, observers: Sequence[Observe] = (), headers: Sequence[Header] = ()
    ) -> None:
        self._app = app
        self._observers = observers
        self._headers = headers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # Any: see above.
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = scope.get(ARRIVED) or perf_counter()
        id_ = _id_of(scope)
        request_id.set(id_)
        _scope.set(scope)
        status = 0

        # It is no coroutine of its own, because that would take half a microsecond.
        def answer(message: Any) -> Any:  # Any: see above.
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


def new_id() -> str:
    """Return an id for a request. It is no secret, so it may be guessed."""
    return f"{getrandbits(128):032x}"


def trace_id() -> str:
    """Return the trace that the request of this task belongs to, or "".

    Its client names it in `traceparent`, or else its own span does.
    """
    scope = _scope.get()
    if scope and TRACE in scope:
        return str(scope[TRACE])
    sent = headers(scope, b"traceparent") if scope else []
    match = _TRACE_PARENT.fullmatch(sent[0]) if len(sent) == 1 else None
    return match[1].decode() if match else ""


def _id_of(scope: Any) -> str:  # Any: see above.
    sent = headers(scope, b"request-id")
    if len(sent) == 1 and _WELL_FORMED.fullmatch(sent[0]):
        return sent[0].decode()
    return new_id()
