"""What a request tells, and the methods HEAD and OPTIONS, which Litestar does not answer in full."""

from collections.abc import Iterable
from typing import Any, Final

from litestar import Litestar, Request
from litestar.types import Scope

from pets.api.http.answer import Answer, Header

# Any: this service has no users, no authentication and no state in requests.
AnyRequest = Request[Any, Any, Any]

PATCH_MEDIA_TYPES: Final = ["application/json", "application/merge-patch+json"]


def headers(scope: Scope, name: bytes) -> list[bytes]:
    """Return the values of a header, one for each time that it was sent."""
    return [value for key, value in scope["headers"] if key == name]


def allow(methods: Iterable[str]) -> str:
    """Return the value of `Allow` for these methods, and HEAD, because every path answers GET."""
    return ", ".join(sorted({*methods, "HEAD"}))


class LeanRequest(AnyRequest):
    """A request that reads its length from the raw headers.

    Litestar would make its own `Headers` first, which takes a fifth of the time to create a pet.
    """

    @property
    def content_length(self) -> int | None:
        length = b"".join(headers(self.scope, b"content-length"))
        return int(length) if length.isdigit() else None


class Application(Litestar):
    """Answers HEAD as GET without the body, and OPTIONS with all methods of a path or of the service.

    Both are as RFC 9110, 9.3.2 and 9.3.7, say. The application also keeps an encoded slash apart
    from a slash (RFC 3986, 2.2), because the server decodes a path before it is routed.
    """

    # Any: Litestar's types are unions.
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
                methods = {method for route in self.routes for method in route.methods}
                await Answer(204, b"", (b"allow", allow(methods).encode()))(scope, receive, send)
            case "OPTIONS":
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
        async def send_options(message: Any) -> None:
            if message["type"] == "http.response.start" and "path_template" in scope:
                # Litestar names only the methods of the handler that it registered first.
                message = message | {"headers": self._options(scope["path_template"])}
            await send(message)

        await super().__call__(scope, receive, send_options)

    def _options(self, path_template: str) -> list[Header]:
        (route,) = [route for route in self.routes if route.path_format == path_template]
        options = [(b"allow", allow(route.methods).encode())]
        if "PATCH" in route.methods:
            options.append((b"accept-patch", ", ".join(PATCH_MEDIA_TYPES).encode()))
        return options
