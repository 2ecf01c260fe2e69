"""The application behind uvicorn, with uvloop and httptools: `pets serve`."""

import gc
import logging
import re
import signal
from collections.abc import Callable
from functools import partial
from random import randint
from socket import socket
from types import FrameType
from typing import Any, Final

from litestar import Litestar

from pets.adapters.sqlalchemy.sqlite_file import StoreFile
from pets.api.api_keys import ApiKeys
from pets.api.application import Application
from pets.api.metrics import metrics_handler
from pets.api.problem_types import BLANK, NOT_DONE
from pets.api.problems import EXCEPTION_HANDLERS, MAX_RETRY_AFTER_SECONDS, problem, problem_answer
from pets.api.request import ApiRequest
from pets.asgi import Header
from pets.bootstrap import check_tracing, create_app, read_keys
from pets.bootstrap.stores import hold_store
from pets.serving.accepting import AcceptingLoop, SharingLoop, allow_open_files, limit_clients
from pets.serving.admission import Admission
from pets.serving.asgi import ASGIApp, Receive, Scope, Send
from pets.serving.configuration import BACKLOG, configuration
from pets.serving.errors import CannotServe, Refusal, log_refusal
from pets.serving.listening import address_of, listen
from pets.serving.queues import Capacity, Priorities
from pets.serving.supervisor import Supervisor
from pets.serving.worker import Worker
from pets.settings import Settings, SettingsError, unknown_variables, variable_of
from pets.telemetry.metrics import Metrics, ServiceMetrics

logger = logging.getLogger(__name__)

MAX_METRICS_CLIENTS: Final = 1000
"""How many connections the process that shows the metrics accepts. More wait until others end."""

# For expensive queries a guess that needs no parsing is enough. If it is wrong, a request waits in
# the other queue.
_PRIORITIES: Final = Priorities(
    "/health/", re.compile(rb"(?:^|&)(?:name=|name_is=|created_|limit=\d{3})")
)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Then accept no more requests and let those in flight finish.

    Raises `SettingsError` if a host and port cannot be listened on, or the API keys be read, and
    `CannotServe` if no worker could start.
    """
    keys = read_keys(settings)
    # A worker begins with the keys of this process. If the file is broken then, they must be its
    # last good ones, and not some that were removed since.
    each_turn = keys.check if keys else None
    # A worker that starts later must not take another file for the store.
    file = hold_store(settings)
    check_tracing()
    listener = _listen(settings, "host", "port")
    logger.info("Listening on %s", address_of(listener))
    loop_factory = AcceptingLoop if settings.workers == 1 else SharingLoop

    def work(end_of_work: int, sign: int, slot: int) -> None:
        config = configuration(partial(create_served_app, settings, keys, slot, file))
        Worker(config, end_of_work, sign).serve_with(loop_factory, listener)

    # Each worker shares 25 MB more, because the garbage collector leaves these objects alone. To
    # collect garbage before would take 150 ms, and processes would be no smaller.
    gc.freeze()
    supervisor = Supervisor(work, settings.workers, listener)
    if settings.metrics_port:
        _serve_with_metrics(settings, supervisor, each_turn)
    else:
        supervisor.run(each_turn)


def allow_files(settings: Settings) -> None:
    """Let the service open as many files as the system allows.

    Raises `SettingsError` if that is so little that no client could be accepted.
    """
    try:
        allow_open_files(settings.workers)
    except CannotServe as error:
        raise SettingsError(str(error)) from None


def warn_of_unknown_variables() -> None:
    """Log each variable that is probably a misspelt setting, because it has no effect."""
    for variable, nearest in unknown_variables():
        question = f" Did you mean {nearest}?" if nearest else ""
        logger.warning("%s is not a setting.%s", variable, question)


def _listen(settings: Settings, host: str, port: str) -> socket:
    """Listen where these settings say. Raises `SettingsError`, which names them."""
    try:
        return listen(getattr(settings, host), getattr(settings, port), BACKLOG)
    except CannotServe as error:
        raise SettingsError(f"{variable_of(host)}, {variable_of(port)}: {error}") from error


def _serve_with_metrics(
    settings: Settings, supervisor: Supervisor, each_turn: Callable[[], None] | None
) -> None:
    metrics_listener = _listen(settings, "metrics_host", "metrics_port")
    logger.info("Metrics are at %s/metrics", address_of(metrics_listener))
    with ServiceMetrics() as metrics:
        app = Application(
            route_handlers=[metrics_handler(metrics.read)],
            request_class=ApiRequest,
            exception_handlers=EXCEPTION_HANDLERS,
            openapi_config=None,
            logging_config=None,
        )

        def new_admission() -> Admission:
            return create_admission(app, Capacity(), settings.request_timeout)

        def show_metrics(end_of_work: int) -> None:
            limit_clients(MAX_METRICS_CLIENTS)
            config = configuration(new_admission, lifespan="off")
            Worker(config, end_of_work).serve_with(AcceptingLoop, metrics_listener)

        supervisor.run(each_turn, show_metrics, metrics.count_end)


def create_admission(
    app: Application,
    capacity: Capacity,
    request_seconds: float,
    around: Callable[[ASGIApp], ASGIApp] | None = None,
) -> Admission:
    """Return the application as the server runs it.

    `around` gives the answers to refused requests what those of the application have.
    """
    return Admission(
        app,
        capacity,
        _PRIORITIES,
        answer_refusal=partial(_answer_refusal, around or app.around),
        request_seconds=request_seconds,
    )


def _answer_refusal(around: Callable[[ASGIApp], ASGIApp], refusal: Refusal) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        type_ = BLANK
        headers: list[Header] = []
        if refusal.status == 503:  # The admission logs it.
            type_ = NOT_DONE
            seconds = randint(1, MAX_RETRY_AFTER_SECONDS)  # noqa: S311  # It is no secret.
            headers.append((b"retry-after", b"%d" % seconds))
        else:
            log_refusal(refusal)
        document = problem(refusal.status, refusal.detail, "/", type_=type_)
        await problem_answer(document, *headers)(scope, receive, send)

    return around(answer)


def create_served_app(
    settings: Settings,
    keys: ApiKeys | None = None,
    slot: int = 0,
    file: StoreFile | None = None,
) -> Admission:
    """Return the application as a worker serves it. It is not ready from the signal to stop on.

    The slot tells this worker from those that run beside it. The file is that of the store.
    """
    metrics = Metrics(slot) if settings.metrics_port else None
    app = create_app(settings, keys=keys, metrics=metrics, file=file)
    # The objects that exist now stay, so the garbage collector need not check them again and
    # again (docs/decisions/0009).
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_stop, app, signal.getsignal(number)))
    admission = create_admission(app, app.state.capacity, settings.request_timeout)
    if metrics:
        metrics.sample(
            "pets_requests_waiting", "Requests that wait to be admitted.", admission.waiting
        )
        metrics.sample_total(
            "pets_requests_rejected", "Requests that waited in vain.", admission.rejected
        )
    return admission


# Any: signal.getsignal may return a number too, but uvicorn's handlers are functions.
def _stop(app: Litestar, stop_uvicorn: Any, number: int, frame: FrameType | None) -> None:
    app.state.stopping = True
    stop_uvicorn(number, frame)
