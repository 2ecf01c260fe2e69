"""The store of a service: an adapter, observed, whose calls callers share, and its end."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from pets.adapters.batching import BatchingPetRepository
from pets.adapters.memory import InMemoryPetRepository
from pets.adapters.sqlalchemy.engine import create_config
from pets.adapters.sqlalchemy.postgresql_url import has_several_hosts
from pets.adapters.sqlalchemy.primary import Primary
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.adapters.sqlalchemy.sqlite_file import StoreFile, path_of
from pets.adapters.sqlalchemy.sqlite_session import keep_wal_small
from pets.bootstrap.stores import database_url
from pets.domain.repository import PetRepository
from pets.serving.queues import Capacity
from pets.settings import Settings
from pets.telemetry.store_calls import ObserveCall, ObservedPetRepository

CLOSE_SECONDS: Final = 1
"""How long a service that stops waits for its connections to the store to close."""

Work = Callable[[], Coroutine[None, None, None]]


@dataclass
class ServedStore:
    """The store of a service, and what runs and ends with it."""

    repository: PetRepository
    capacity: Capacity
    connections_in_use: Callable[[], int] | None = None
    background: Sequence[Work] = ()
    on_shutdown: Sequence[Work] = ()


def open_served_store(
    settings: Settings, calls: Sequence[ObserveCall], file: StoreFile | None
) -> ServedStore:
    """Open the store of a service, whose calls are observed. Raises `SettingsError`.

    A store of SQLite is the given file, or the one that exists now.
    """
    url = database_url(settings)
    key_ttl = timedelta(seconds=settings.idempotency_ttl)
    if url is None:  # It answers at once, so it always has room.
        return ServedStore(InMemoryPetRepository(key_ttl), Capacity())
    # The rest of a request's time is for everything around the store.
    seconds = 0.9 * settings.request_timeout
    primary = Primary()
    background: list[Work] = []
    if has_several_hosts(url):
        background.append(primary.watch)
    if path := path_of(url):
        file = file or StoreFile(path)
        background.append(partial(keep_wal_small, file))
    create = partial(create_config, url, seconds=seconds, primary=primary, file=file)
    engine = create().get_engine()
    searching = create(is_for_searches=True).get_engine()
    store: PetRepository = SQLAlchemyPetRepository(engine, key_ttl, searching)
    for observe in calls:
        store = ObservedPetRepository(store, observe)
    batching = BatchingPetRepository(store, seconds)
    return ServedStore(
        batching,
        Capacity(
            batching.has_room_for_reads,
            batching.has_room_for_expensive_reads,
            batching.has_room_for_writes,
        ),
        partial(_connections_in_use, engine, searching),
        background,
        [partial(_close, engine), partial(_close, searching)],
    )


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
