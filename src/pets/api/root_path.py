"""The path that a proxy removes from the path of each request before it passes the request on."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pets.asgi import ASGIApp, Receive, Scope, Send

_root_path: Final = ContextVar("root_path", default="")


def path_for_clients(path: str) -> str:
    """Return the path of this service as its clients see it. Anything but a path stays as it is."""
    return f"{_root_path.get()}{path}" if path.startswith("/") else path


@contextmanager
def below(root_path: str) -> Iterator[None]:
    """Let the paths of this block be below the root path."""
    token = _root_path.set(root_path)
    try:
        yield
    finally:
        _root_path.reset(token)


class BelowRootPath:
    """An ASGI application that clients see below this path, although its requests do not have it.

    The `root_path` of ASGI is for requests that have it. Litestar removes it from wherever in the
    path it finds it.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with below(self._root_path):
            await self._app(scope, receive, send)
