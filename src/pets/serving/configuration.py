"""The configuration of uvicorn."""

from collections.abc import Callable
from typing import Final, Literal

import uvicorn

from pets.serving.admission import Admission, ServedProtocol

GRACE_SECONDS: Final = 8
"""How long requests in flight may take after a signal to stop. Docker kills after 10 seconds."""

BACKLOG: Final = 65_535
"""How many connections may wait to be accepted. The system's `net.core.somaxconn` bounds it."""


def configuration(
    factory: Callable[[], Admission], lifespan: Literal["on", "off"] = "on"
) -> uvicorn.Config:
    """Return the configuration for an application that `factory` makes when a worker starts."""
    return uvicorn.Config(
        factory,
        factory=True,
        interface="asgi3",
        http=ServedProtocol,
        ws="none",
        lifespan=lifespan,
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
