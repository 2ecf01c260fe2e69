"""Requests from web pages of other origins (the Fetch standard, CORS)."""

import re
from collections.abc import Awaitable
from functools import cache, partial
from typing import Final

from pets.api.answer import Answer
from pets.asgi import ASGIApp, Header, Message, Receive, Scope, Send, header_values

ANY: Final = "*"

_EXPOSED: Final = (
    b"ETag, Idempotent-Replayed, Link, Location, Request-Id, Retry-After, X-Total-Count"
)
_EXPOSE: Final = (b"access-control-expose-headers", _EXPOSED)
_READABLE_BY_ANY: Final = ((b"access-control-allow-origin", ANY.encode()), _EXPOSE)
_PREFLIGHT: Final[tuple[Header, ...]] = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (b"access-control-max-age", b"600"),
    (b"vary", b"Access-Control-Request-Headers"),
)

_MAX_NAMES_LENGTH: Final = 2000
"""No page sends so many headers. The answer should not grow with the request."""

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2
_NAMES: Final = re.compile(rf"{_NAME}([ \t]*,[ \t]*{_NAME})*".encode())

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_SUBDOMAINS: Final = "*."


class CrossOrigin:
    """An ASGI application whose answers the pages of some origins may read.

    It answers preflights itself. They need no API key, because a browser sends none with them.
    A page may send any header: a header is no secret of the service, and tools add their own.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._allows_any = ANY in origins
        self._origins = _compiled(origins - {ANY})

    @property
    def answer_headers(self) -> tuple[Header, ...]:
        """The headers that all answers have, even those to a request without `Origin`.

        A cache must give no page the answer to another one, unless every page may read it
        (https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches).
        """
        return _READABLE_BY_ANY if self._allows_any else ((b"vary", b"Origin"),)

    # It is not a coroutine function, because that would take half a microsecond more.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        app = self._app
        if scope["type"] != "http":
            return app(scope, receive, send)
        is_options = scope["method"] == "OPTIONS"
        if self._allows_any and not is_options:  # The answer has its headers in any case.
            return app(scope, receive, send)
        if origin := self._allowed_origin(scope):
            if is_options and header_values(scope, b"access-control-request-method"):
                app = _preflight(scope)
            if not self._allows_any:
                send = partial(_send_to, origin, send)
        return app(scope, receive, send)

    def _allowed_origin(self, scope: Scope) -> bytes | None:
        sent = header_values(scope, b"origin")
        if sent and (self._allows_any or (len(sent) == 1 and self._origins.fullmatch(sent[0]))):
            return sent[0]
        return None


@cache
def _compiled(origins: frozenset[str]) -> re.Pattern[bytes]:
    return re.compile("|".join(map(_pattern, origins)).encode())


def _pattern(origin: str) -> str:
    """Return the pattern of the header `Origin` of these pages. It never has the default port."""
    scheme, _, host = origin.partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    if port:
        origin = origin.removesuffix(f":{port}")
    if host.startswith(_SUBDOMAINS):
        begin, _, domain = origin.partition(_SUBDOMAINS)
        return rf"{re.escape(begin)}([a-z0-9_-]+\.)+{re.escape(domain)}"
    return re.escape(origin)


def _preflight(scope: Scope) -> Answer:
    names = b", ".join(header_values(scope, b"access-control-request-headers"))
    if len(names) > _MAX_NAMES_LENGTH or not _NAMES.fullmatch(names):
        return Answer(204, b"", *_PREFLIGHT)
    return Answer(204, b"", *_PREFLIGHT, (b"access-control-allow-headers", names))


async def _send_to(origin: bytes, send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        own_headers = [*message["headers"], (b"access-control-allow-origin", origin), _EXPOSE]
        message = message | {"headers": own_headers}
    await send(message)
