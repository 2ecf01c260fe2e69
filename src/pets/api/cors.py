"""Requests from web pages of other origins (the Fetch standard, CORS)."""

from functools import partial
from typing import Final

from pets.api.answer import Answer
from pets.asgi import ASGIApp, Header, Message, Receive, Scope, Send, header_values

ANY: Final = "*"

_EXPOSED: Final = (
    b"ETag, Idempotent-Replayed, Link, Location, Request-Id, Retry-After, X-Total-Count"
)
_ACCEPTED: Final = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Request-Id, "
    b"X-API-Key, traceparent, tracestate"
)
_PREFLIGHT: Final[tuple[Header, ...]] = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", _ACCEPTED),
    (b"access-control-max-age", b"600"),
)


class CrossOrigin:
    """An ASGI application whose answers the pages of some origins may read.

    It answers preflights itself. They need no API key, because a browser sends none with them.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._allows_any = ANY in origins
        self._origins = {origin.encode() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = self._allowed_origin(scope) if scope["type"] == "http" else None
        app = self._app
        if allowed:
            send = partial(_send_to, allowed, send)
            is_options = scope["method"] == "OPTIONS"
            if is_options and header_values(scope, b"access-control-request-method"):
                app = Answer(204, b"", *_PREFLIGHT)
        await app(scope, receive, send)

    def _allowed_origin(self, scope: Scope) -> bytes | None:
        origin = header_values(scope, b"origin")
        if origin and self._allows_any:
            return ANY.encode()
        if len(origin) == 1 and origin[0] in self._origins:
            return origin[0]
        return None


async def _send_to(origin: bytes, send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        own_headers = [
            *message["headers"],
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
        ]
        message = message | {"headers": own_headers}
    await send(message)
