"""ASGI (https://asgi.readthedocs.io): its types, and how the scope of a request is read."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias
from urllib.parse import quote

# Any: Litestar and uvicorn define different types for ASGI, and neither accepts the other's.
Scope: TypeAlias = Any
Message: TypeAlias = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Header = tuple[bytes, bytes]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of this service that change nothing (RFC 9110, 9.2.1)."""

IS_HEAD: Final = "is_head"
"""The key of a scope whose request is answered as a GET, but is a HEAD."""

_STRAY_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Return the values of a header, one for each time that it was sent."""
    return [value for key, value in scope["headers"] if key == name]


def path_as_sent(raw_path: bytes) -> str:
    """Return the path without the query, as a reference that stays on this host (RFC 3986).

    A path that begins with two slashes would name another host. A dot before them prevents this
    and does not change the meaning.
    """
    path = quote(raw_path.partition(b"?")[0], safe="/%:@!$&'()*+,;=~")
    path = _STRAY_PERCENT.sub("%25", path)
    return f"/.{path}" if path.startswith("//") else path
