"""The composition root: settings → repository → application. The only file that knows everyone."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any, Final

from litestar import Litestar
from litestar.datastructures import State
from litestar.types import LifespanHook
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from pets.adapters.batching import BatchingPetRepository
from pets.adapters.key_file import KeyFile
from pets.adapters.memory import InMemoryPetRepository
from pets.adapters.observing import ObserveCall, ObservedPetRepository
from pets.adapters.prometheus import Metrics, ServiceMetrics
from pets.adapters.sqlalchemy.engine import create_config
from pets.adapters.sqlalchemy.postgresql_url import has_several_hosts
from pets.adapters.sqlalchemy.primary import Primary
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.adapters.sqlalchemy.sqlite_file import StoreFile, path_of
from pets.adapters.sqlalchemy.sqlite_session import keep_wal_small
from pets.api.docs import DocsController
from pets.api.health import HealthController
from pets.api.http.access_log import log_request
from pets.api.http.application import Application
from pets.api.http.door import Rooms
from pets.api.http.exchange import Observation, Observe
from pets.api.http.problems import EXCEPTION_HANDLERS, MAX_BODY_BYTES
from pets.api.http.request import ApiRequest
from pets.api.http.tracing import TraceRequest
from pets.api.metrics import metrics_handler
from pets.api.openapi import openapi_config
from pets.api.pets import PetsController
from pets.domain.access import ApiKeys, InvalidKeys
from pets.domain.repository import PetRepository
from pets.settings import Settings, SettingsError, items, wants_traces
from pets.stores import database_url

logger = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 1
"""How long a service that stops waits for its connections to the store to close."""


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
    parts = _Parts()
    if settings.access_log:
        parts.observers.append(log_request)
    if metrics:
        parts.observers.append(_counting(metrics))
        parts.calls.append(metrics.count_call)
        parts.background.append(metrics.keep_sampling)
    if check_tracing():
        from pets.adapters.opentelemetry import Tracing  # noqa: PLC0415  # It needs the extra.

        tracing = Tracing()
        parts.trace = tracing.trace_request
        parts.calls.append(tracing.trace_call)
        parts.on_shutdown.append(tracing.close)
    return _create_application(
        _open_state(settings, parts, metrics, file),
        keys=keys or read_keys(settings),
        hosts=items(settings.allowed_hosts),
        origins=items(settings.cors_origins),
        observers=parts.observers,
        trace=parts.trace,
        lifespan=[partial(_running, work) for work in parts.background],
        on_shutdown=parts.on_shutdown,
    )


@dataclass
class _Parts:
    """What surrounds the requests and the store of a service."""

    observers: list[Observe] = field(default_factory=list)
    calls: list[ObserveCall] = field(default_factory=list)
    trace: TraceRequest | None = None
    background: list[Callable[[], Coroutine[None, None, None]]] = field(default_factory=list)
    """What runs as long as the service."""
    on_shutdown: list[LifespanHook] = field(default_factory=list)


# Any: the options are those of the application.
def _create_application(state: State, **options: Any) -> Application:
    return Application(
        route_handlers=[PetsController, HealthController, DocsController],
        request_class=ApiRequest,
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(),
        state=state,
        logging_config=None,
        **options,
    )


def _open_state(
    settings: Settings, parts: _Parts, metrics: Metrics | None, file: StoreFile | None
) -> State:
    """Open the store of a service. Its calls are observed, and it is closed on shutdown."""
    url = database_url(settings)
    key_ttl = timedelta(seconds=settings.idempotency_ttl)
    if url is None:
        return State({"repository": InMemoryPetRepository(key_ttl)})
    # The rest of a request's time is for everything around the store.
    seconds = 0.9 * settings.request_timeout
    primary = Primary()
    if path := path_of(url):
        file = file or StoreFile(path)
    create = partial(create_config, url, seconds=seconds, primary=primary, file=file)
    engine = create().get_engine()
    searching = create(is_for_searches=True).get_engine()
    if has_several_hosts(url):
        parts.background.append(primary.watch)
    if file:
        parts.background.append(partial(keep_wal_small, file))
    parts.on_shutdown += [partial(_close, engine), partial(_close, searching)]
    if metrics:
        metrics.watch_connections(partial(_connections_in_use, engine, searching))
    store: PetRepository = SQLAlchemyPetRepository(engine, key_ttl, searching)
    for observe in parts.calls:
        store = ObservedPetRepository(store, observe)
    batching = BatchingPetRepository(store, seconds)
    rooms = Rooms(
        batching.has_room_for_reads,
        batching.has_room_for_expensive_reads,
        batching.has_room_for_writes,
    )
    return State({"repository": batching, "rooms": rooms})


def check_tracing() -> bool:
    """Return whether traces are asked for. Raises `SettingsError` if they cannot be sent."""
    if not wants_traces():
        return False
    try:
        import_module("pets.adapters.opentelemetry")
    except ImportError:
        raise SettingsError(
            "OTEL_TRACES_EXPORTER: traces need the extra: pip install 'pets[otel]'"
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


def create_service_metrics() -> ServiceMetrics:
    """Return what the parent of the workers counts."""
    return ServiceMetrics()


def create_metrics_app(metrics: ServiceMetrics) -> Application:
    """Return the application that shows what all processes count."""
    return Application(
        route_handlers=[metrics_handler(metrics.read)],
        request_class=ApiRequest,
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
    )


def create_metrics(settings: Settings, slot: int) -> Metrics | None:
    """Return what the worker in this slot counts, if the settings say where to show it."""
    return Metrics(slot) if settings.metrics_port else None


def _counting(metrics: Metrics) -> Observe:
    def count(seen: Observation) -> None:
        metrics.count_request(seen.scope["method"], seen.route, seen.status, seen.seconds)

    return count


@asynccontextmanager
async def _running(
    work: Callable[[], Coroutine[None, None, None]], _app: Litestar
) -> AsyncIterator[None]:
    task = asyncio.create_task(work())
    task.add_done_callback(_tell_of_failure)
    yield
    task.cancel()
    await asyncio.wait({task})


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        logger.error("Background work failed", exc_info=task.exception())


def _connections_in_use(*engines: AsyncEngine) -> int:
    in_use = 0
    for engine in engines:
        assert isinstance(engine.pool, QueuePool)
        in_use += engine.pool.checkedout()
    return in_use


async def _close(engine: AsyncEngine) -> None:
    # A store that does not answer would keep the service from stopping. The system closes the rest.
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await engine.dispose()
