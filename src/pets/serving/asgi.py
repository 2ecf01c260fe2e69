"""The types of ASGI (https://asgi.readthedocs.io), loose enough for every framework.

Scopes and messages are Any, because uvicorn, Litestar and Starlette type them differently.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pets.serving.errors import Refusal

Scope = Any
Message = Any
Receive = Any
Send = Any

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

AnswerRefusal = Callable[[Refusal], ASGIApp]
"""Returns what answers a refused request."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing (RFC 9110, 9.2.1). TRACE has no use for a service."""
