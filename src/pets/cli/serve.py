"""The application behind uvicorn, with uvloop and httptools: `pets serve`."""

import gc
import logging
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final, Literal

import uvicorn
from litestar import Litestar

from pets.api.api_keys import ApiKeys
from pets.api.http.door import Door, DoorProtocol, Rooms
from pets.bootstrap import (
    check_tracing,
    create_app,
    create_metrics,
    create_metrics_app,
    create_service_metrics,
    read_keys,
)
from pets.cli.accepting import AcceptingLoop, SharingLoop, limit_clients
from pets.cli.listening import address_of, listen
from pets.cli.supervisor import Supervisor
from pets.cli.worker import Worker
from pets.settings import Settings
from pets.stores import StoreFile, hold_store

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 8
"""How long requests in flight may take after a signal to stop. Docker kills after 10 seconds."""

BACKLOG: Final = 65_535
"""How many connections may wait to be accepted. The system's `net.core.somaxconn` bounds it."""

MAX_METRICS_CLIENTS: Final = 1000
"""How many connections the process that shows the metrics accepts. More wait until others end."""


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Then accept no more requests and let those in flight finish.

    Raises `SettingsError` if a host and port cannot be listened on, or the API keys be read.
    """
    keys = read_keys(settings)
    # A worker begins with the keys of this process. If the file is broken then, they must be its
    # last good ones, and not some that were removed since.
    each_turn = keys.check if keys else None
    # A worker that starts later must not take another file for the store.
    file = hold_store(settings)
    check_tracing()
    listener = listen(settings.host, settings.port, BACKLOG, "host", "port")
    logger.info("Listening on %s", address_of(listener))
    loop_factory = AcceptingLoop if settings.workers == 1 else SharingLoop

    def work(end_of_work: int, sign: int, slot: int) -> None:
        config = _configuration(partial(create_served_app, settings, keys, slot, file))
        Worker(config, end_of_work, sign).serve_with(loop_factory, listener)

    # Each worker shares 25 MB more, because the garbage collector leaves these objects alone.
    gc.collect()
    gc.freeze()
    supervisor = Supervisor(work, settings.workers, listener)
    if settings.metrics_port:
        _serve_with_metrics(settings, supervisor, each_turn)
    else:
        supervisor.run(each_turn)


def _serve_with_metrics(
    settings: Settings, supervisor: Supervisor, each_turn: Callable[[], None] | None
) -> None:
    names = ("metrics_host", "metrics_port")
    metrics_listener = listen(settings.metrics_host, settings.metrics_port, BACKLOG, *names)
    logger.info("Metrics are at %s/metrics", address_of(metrics_listener))
    with create_service_metrics() as metrics:
        app = create_metrics_app(metrics)

        def new_door() -> Door:
            seconds = settings.request_timeout
            return Door(app, Rooms(), request_seconds=seconds, around=app.around)

        def show_metrics(end_of_work: int) -> None:
            limit_clients(MAX_METRICS_CLIENTS)
            config = _configuration(new_door, lifespan="off")
            Worker(config, end_of_work).serve_with(AcceptingLoop, metrics_listener)

        supervisor.run(each_turn, show_metrics, metrics.count_end)


def _configuration(
    factory: Callable[[], Door], lifespan: Literal["on", "off"] = "on"
) -> uvicorn.Config:
    return uvicorn.Config(
        factory,
        factory=True,
        interface="asgi3",
        http=DoorProtocol,
        ws="none",
        lifespan=lifespan,
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def create_served_app(
    settings: Settings,
    keys: ApiKeys | None = None,
    slot: int = 0,
    file: StoreFile | None = None,
) -> Door:
    """Return the application behind its door. It is not ready from the signal to stop on.

    The slot tells this worker from those that run beside it. The file is that of the store.
    """
    metrics = create_metrics(settings, slot)
    app = create_app(settings, keys=keys, metrics=metrics, file=file)
    # The objects that exist now stay, so the garbage collector need not check them again and
    # again (docs/decisions/0009).
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_stop, app, signal.getsignal(number)))
    # A store in memory answers at once, so it always has room.
    rooms = app.state.get("rooms", Rooms())
    door = Door(app, rooms, request_seconds=settings.request_timeout, around=app.around)
    if metrics:
        metrics.sample("pets_requests_waiting", "Requests that wait to be let in.", door.waiting)
        metrics.sample_total(
            "pets_requests_rejected", "Requests that waited in vain.", door.rejected
        )
    return door


# Any: signal.getsignal may return a number too, but uvicorn's handlers are functions.
def _stop(app: Litestar, stop_uvicorn: Any, number: int, frame: FrameType | None) -> None:
    app.state.stopping = True
    stop_uvicorn(number, frame)
