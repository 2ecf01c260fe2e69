"""The composition root: settings → store → application → service. It alone imports adapters.

`create_app` puts the application together. `served_store` opens its store, and `stores` opens those
of commands. `service` runs the application in processes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotFoundException
from litestar.types import LifespanHook

from pets.adapters.sqlalchemy.sqlite_file import StoreFile
from pets.api.api_keys import ApiKeys, InvalidKeys, KeyFile
from pets.api.application import Application
from pets.api.body import MAX_BODY_BYTES
from pets.api.docs import DocsController, answer_not_found
from pets.api.health import HealthController
from pets.api.openapi import openapi_config
from pets.api.pets import PetsController
from pets.api.problem_document import Problem
from pets.api.problems import EXCEPTION_HANDLERS
from pets.api.request import ApiRequest
from pets.asgi import ASGIApp
from pets.bootstrap.served_store import Work, open_served_store
from pets.domain.repository import PetRepository
from pets.serving.errors import Refusal
from pets.settings import Settings, SettingsError, items, wants_traces
from pets.telemetry.access_log import log_request
from pets.telemetry.metrics import Metrics
from pets.telemetry.request_context import Observe
from pets.telemetry.store_calls import ObserveCall

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings | None = None,
    repository: PetRepository | None = None,
    keys: ApiKeys | None = None,
    metrics: Metrics | None = None,
    file: StoreFile | None = None,
) -> Application:
    """Return the application. A test can give a repository in place of the settings' own.

    Given keys replace those of the settings. The metrics are counted, if there are any. A store
    of SQLite is the given file, or the one that exists now. Without settings the environment is
    read, unless there is a repository. Raises `SettingsError`.
    """
    if repository is not None:
        return _create_application(State({"repository": repository}), keys=keys)
    settings = settings or Settings.from_environment()
    observers: list[Observe] = []
    calls: list[ObserveCall] = []
    add_spans: Callable[[ASGIApp], ASGIApp] | None = None
    on_shutdown: list[LifespanHook] = []
    if settings.access_log:
        observers.append(log_request)
    if metrics:
        observers.append(metrics.count_request)
        calls.append(metrics.count_call)
    if check_tracing():
        from pets.telemetry.traces import Tracing  # noqa: PLC0415  # It needs the extra.

        tracing = Tracing()
        add_spans = tracing.add_spans
        calls.append(tracing.trace_call)
        on_shutdown.append(tracing.close)
    store = open_served_store(settings, calls, file)
    background = [*store.background]
    if metrics:
        background.append(metrics.keep_sampling)
        if store.connections_in_use:
            metrics.watch_connections(store.connections_in_use)
    return _create_application(
        State({"repository": store.repository, "capacity": store.capacity}),
        keys=keys or read_keys(settings),
        hosts=items(settings.allowed_hosts),
        origins=items(settings.cors_origins),
        root_path=settings.root_path,
        observers=observers,
        add_spans=add_spans,
        lifespan=[partial(_running, work) for work in background],
        on_shutdown=[*on_shutdown, *store.on_shutdown],
    )


# Any: the options are those of the application.
def _create_application(state: State, root_path: str = "", **options: Any) -> Application:
    return Application(
        route_handlers=[PetsController, HealthController, DocsController],
        request_class=ApiRequest,
        exception_handlers={
            **EXCEPTION_HANDLERS,
            NotFoundException: answer_not_found,
            Refusal: _answer_refused_body,
        },
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(root_path),
        root_path=root_path,
        state=state,
        logging_config=None,
        **options,
    )


# Any: Litestar knows of no narrower type of request here.
def _answer_refused_body(request: Request[Any, Any, Any], refusal: Refusal) -> Response[Problem]:
    """Answer a request whose body the server refuses like any other bad request."""
    error = HTTPException(status_code=refusal.status, detail=refusal.detail)
    return EXCEPTION_HANDLERS[Exception](request, error)


def check_tracing() -> bool:
    """Return whether traces are asked for. Raises `SettingsError` if they cannot be sent."""
    if not wants_traces():
        return False
    try:
        import_module("pets.telemetry.traces")
    except ImportError:
        raise SettingsError(
            "OTEL_TRACES_EXPORTER: traces need the extra: pip install '.[otel]'"
        ) from None
    return True


def read_keys(settings: Settings) -> KeyFile | None:
    """Return the API keys that requests need, if they need any. Raises `SettingsError`."""
    if not settings.api_keys_file:
        return None
    try:
        return KeyFile(settings.api_keys_file)
    except InvalidKeys as error:
        raise SettingsError(f"PETS_API_KEYS_FILE: {error}") from None


@asynccontextmanager
async def _running(work: Work, _app: Litestar) -> AsyncIterator[None]:
    task = asyncio.create_task(work())
    task.add_done_callback(_tell_of_failure)
    yield
    task.cancel()
    await asyncio.wait({task})


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        logger.error("Background work failed", exc_info=task.exception())
