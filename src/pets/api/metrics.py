"""The metrics, which Prometheus reads at a port of their own."""

from collections.abc import Callable
from typing import Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

_MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""


def metrics_handler(read: Callable[[], bytes]) -> HTTPRouteHandler:
    """Return the route `/metrics`, which shows what is read, whatever format is asked for."""

    @get("/metrics", media_type=_MEDIA_TYPE)
    async def show() -> Response[bytes]:
        return Response(read())

    return show
