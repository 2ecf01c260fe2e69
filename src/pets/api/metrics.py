"""The metrics, which Prometheus reads at a port of their own."""

from collections.abc import Callable
from typing import Final

from litestar import get
from litestar.handlers import HTTPRouteHandler

from pets.api.answer import Answer

_MEDIA_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""


def metrics_handler(read: Callable[[], bytes]) -> HTTPRouteHandler:
    """Return the route `/metrics`. It ignores `Accept`, because there is one format only."""

    # Litestar's own response would add a second charset.
    @get("/metrics")
    async def show() -> Answer:
        return Answer(200, read(), media_type=_MEDIA_TYPE)

    return show
