"""An answer whose head and body are finished."""

from collections.abc import Iterable
from typing import Final

from pets.asgi import Header, Receive, Scope, Send

JSON: Final = b"application/json"
_WITHOUT_BODY: Final = {204, 304}


class Answer:
    """An ASGI application that sends one answer. A handler may return it in place of a response.

    Litestar's own response collects headers in mappings, and so takes a fifth of the time of a
    request.
    """

    __slots__ = ("_body", "_headers", "_status")

    def __init__(
        self, status: int, body: bytes = b"", *headers: Header, media_type: bytes = JSON
    ) -> None:
        self._status = status
        self._body = body
        self._headers = [*headers]
        if status not in _WITHOUT_BODY:
            self._headers += (
                (b"content-type", media_type),
                (b"content-length", b"%d" % len(body)),
            )

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


def allow(methods: Iterable[str]) -> str:
    """Return the value of `Allow` for these methods, and HEAD, because every path answers GET."""
    return ", ".join(sorted({*methods, "HEAD"}))
