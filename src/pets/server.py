"""How the application is served: uvicorn, with uvloop and httptools."""

import signal
import sys
from functools import partial
from types import FrameType
from typing import Any, Final

import msgspec
import uvicorn
from litestar import Litestar
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from pets.api.problems import MEDIA_TYPE, problem
from pets.bootstrap import Settings, create_app

GRACE_SECONDS: Final = 8
"""How long requests in flight may take after a signal to stop; Docker kills after 10."""

LOGGING: Final = LOGGING_CONFIG | {
    "loggers": LOGGING_CONFIG["loggers"] | {"pets": {"handlers": ["default"], "level": "INFO"}}
}


class ProblemProtocol(HttpToolsProtocol):
    """Answers what is not even HTTP with a problem document, as everything else is answered."""

    def send_400_response(self, msg: str) -> None:
        body = msgspec.json.encode(problem(400, msg, "/"))
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()


def create_served_app(settings: Settings) -> Litestar:
    """Return the application, which says that it is not ready from the moment that the process is told to stop."""
    app = create_app(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_stop, app, signal.getsignal(number)))
    return app


# Any: what signal.getsignal returns, which here is a function
def _stop(app: Litestar, uvicorn_stops: Any, number: int, frame: FrameType | None) -> None:
    app.state.stopping = True
    uvicorn_stops(number, frame)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; then take no more requests and let those in flight finish."""
    config = uvicorn.Config(
        partial(create_served_app, settings),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=ProblemProtocol,
        ws="none",
        lifespan="on",
        log_config=LOGGING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    # Having stopped, uvicorn raises the signal again, which would end the process with another status than 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if settings.workers > 1:
            Multiprocess(config, sockets=[config.bind_socket()]).run()
        else:
            uvicorn.Server(config).run()
    except KeyboardInterrupt:
        pass
