"""What HTTP asks of every server and the framework lacks."""

from typing import Any

from litestar import Litestar
from litestar.response.base import ASGIResponse


class Application(Litestar):
    """Answers HEAD wherever it answers GET: with the same head, and no body (RFC 9110, 9.3.2).

    Answers `OPTIONS *` for the whole service (RFC 9110, 9.3.7). Keeps an encoded slash apart from
    a slash (RFC 3986, 2.2), because the server decodes a path before it is routed.
    """

    # Any: Litestar's types are unions
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if b"%" in scope["raw_path"]:
            path = scope["raw_path"].partition(b"?")[0]
            if b"%2f" in path.lower():
                scope["path"] = path.decode("latin-1")  # No route matches `%2F`.
        match scope["method"]:
            case "HEAD":
                await self._answer_head(scope, receive, send)
            case "OPTIONS" if scope["path"] == "*":
                await self._answer_options(scope, receive, send)
            case _:
                await super().__call__(scope, receive, send)

    async def _answer_head(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_head(message: Any) -> None:
            if message["type"] == "http.response.body":
                message = message | {"body": b""}
            await send(message)

        as_get: Any = scope | {"method": "GET"}
        await super().__call__(as_get, receive, send_head)

    async def _answer_options(self, scope: Any, receive: Any, send: Any) -> None:
        methods = {"HEAD"}
        for route in self.routes:
            methods.update(route.methods)
        allow = ", ".join(sorted(methods))
        answer = ASGIResponse(status_code=204, headers=[("allow", allow)])
        await answer(scope, receive, send)
