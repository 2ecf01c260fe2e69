"""The application behind uvicorn, with uvloop and httptools: `pets serve`."""

import gc
import logging
import signal
import socket
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn
from litestar import Litestar

from pets.api.http.door import Door, DoorProtocol
from pets.bootstrap import create_app, read_keys
from pets.cli.accepting import AcceptingLoop, SharingLoop, allow_open_files
from pets.cli.supervisor import Supervisor
from pets.cli.worker import Worker
from pets.domain.access import ApiKeys
from pets.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 8
"""How long requests in flight may take after a signal to stop. Docker kills after 10 seconds."""

BACKLOG: Final = 65_535
"""How many connections may wait to be accepted. The system's `net.core.somaxconn` bounds it."""


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Then accept no more requests and let those in flight finish.

    Raises `SettingsError` if the host and port cannot be listened on.
    """
    config = uvicorn.Config(
        partial(create_served_app, settings, read_keys(settings)),
        factory=True,
        interface="asgi3",
        http=DoorProtocol,
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    allow_open_files()
    listener = _listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    logger.info("Listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    loop_factory = AcceptingLoop if settings.workers == 1 else SharingLoop

    def work(end_of_work: int, sign: int) -> None:
        Worker(config, end_of_work, sign).serve_with(loop_factory, listener)

    # Each worker shares 25 MB more, because the garbage collector leaves these objects alone.
    gc.collect()
    gc.freeze()
    Supervisor(work, settings.workers, listener).run()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name.
        reason = error.strerror if isinstance(error, OSError) else "this is not the name of a host"
        raise SettingsError(
            f"PETS_HOST, PETS_PORT: cannot listen on {host}, port {port}: {reason}"
        ) from error
    return listener


def create_served_app(settings: Settings, keys: ApiKeys | None = None) -> Door:
    """Return the application behind its door. It is not ready from the signal to stop on."""
    app = create_app(settings, keys=keys)
    # The objects that exist now stay, so the garbage collector need not check them again and
    # again (docs/decisions/0009).
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_stop, app, signal.getsignal(number)))
    # A store in memory answers at once, so it always has room.
    rooms = app.state.get("rooms", (_always, _always))
    return Door(app, *rooms, request_seconds=settings.request_timeout, around=app.around)


def _always() -> bool:
    return True


# Any: signal.getsignal may return a number too, but uvicorn's handlers are functions.
def _stop(app: Litestar, stop_uvicorn: Any, number: int, frame: FrameType | None) -> None:
    app.state.stopping = True
    stop_uvicorn(number, frame)
