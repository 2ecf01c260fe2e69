"""What the framework lacks."""

from typing import Any

from litestar import Litestar


class Application(Litestar):
    """Answers HEAD wherever it answers GET: with the same head, and no body (RFC 9110, 9.3.2)."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # Any: Litestar's are unions
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await super().__call__(scope, receive, send)
            return

        async def send_head(message: Any) -> None:
            await send(message | {"body": b""} if message["type"] == "http.response.body" else message)

        as_get: Any = scope | {"method": "GET"}
        await super().__call__(as_get, receive, send_head)
