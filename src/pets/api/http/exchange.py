"""What every request gets, whatever answers it: an id, and observers of how it went."""

import re
import secrets
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final, NamedTuple

from pets.api.http.request import headers

request_id: Final = ContextVar("request_id", default="")
"""The id of the request that this task answers."""

_WELL_FORMED: Final = re.compile(rb"[A-Za-z0-9_.:/+=-]{1,128}")


class Observation(NamedTuple):
    """A request that was answered, or failed to be."""

    scope: Any  # Any: Litestar's and uvicorn's types of it differ.
    route: str
    """The template of the path, such as `/pets/{pet_id}`, or "" if no route matched."""
    status: int
    """The status of the answer, or 0 if none was sent."""
    seconds: float


Observe = Callable[[Observation], None]


class Exchange:
    """An ASGI application whose requests have an id, and are observed when they are answered.

    The id is the client's own, if it sent a well-formed one.
    """

    # Any, here and below: Litestar and uvicorn type ASGI applications differently.
    def __init__(self, app: Any, observers: Sequence[Observe] = ()) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        id_ = _id_of(scope)
        request_id.set(id_.decode())
        status = 0

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = message | {"headers": [*message["headers"], (b"request-id", id_)]}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            if self._observers:
                seconds = perf_counter() - began
                seen = Observation(scope, scope.get("path_template", ""), status, seconds)
                for observe in self._observers:
                    observe(seen)


def _id_of(scope: Any) -> bytes:
    sent = headers(scope, b"request-id")
    if len(sent) == 1 and _WELL_FORMED.fullmatch(sent[0]):
        return sent[0]
    return secrets.token_hex(16).encode()
