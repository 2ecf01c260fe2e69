"""The stores that settings name, as commands use them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy import counts, ids
from pets.adapters.sqlalchemy.counts import WrongCount
from pets.adapters.sqlalchemy.engine import (
    create_config,
    is_missing,
    is_read_only,
    parse_url,
    read_only,
)
from pets.adapters.sqlalchemy.ids import IdsBehind
from pets.adapters.sqlalchemy.migrations import upgrade
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.adapters.sqlalchemy.server import Server, look_at_server
from pets.domain.errors import StoreUnavailable
from pets.domain.repository import PetRepository
from pets.settings import MEMORY, Settings, SettingsError


def migrate(settings: Settings, seconds: float | None = None) -> None:
    """Bring the store to the schema that this version needs.

    With `seconds`, no statement takes longer. This must not be called from a running event loop.
    Raises `SettingsError`, and `StoreUnavailable` if the store cannot be reached or migrated.
    """
    url = database_url(settings)
    if url is not None:
        upgrade(url, seconds)


def may_write(settings: Settings) -> bool:
    """Return whether this process may write to the store. It may not if a SQLite file says so."""
    url = database_url(settings)
    return url is None or not is_read_only(url)


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PetRepository]:
    """Open the store for a command, whose statements have no time limit.

    A SQLite file that this process may only read is opened for reading. Raises `SettingsError`
    for a store in memory.
    """
    async with _open_engine(settings) as engine:
        yield SQLAlchemyPetRepository(engine)


async def check_counts(settings: Settings, *, repair: bool) -> Sequence[WrongCount]:
    """Return the kept counts that are wrong, or that were wrong until they were repaired.

    Raises `StoreUnavailable`, and `SettingsError` for a store in memory.
    """
    async with _open_engine(settings) as engine:
        return await (counts.repair_counts(engine) if repair else counts.check_counts(engine))


async def check_ids(settings: Settings, *, repair: bool) -> IdsBehind | None:
    """Return how the sequence of ids is behind the pets, or was until it was repaired.

    Raises as `check_counts` does.
    """
    async with _open_engine(settings) as engine:
        return await (ids.repair_ids(engine) if repair else ids.check_ids(engine))


async def look_at_store(settings: Settings) -> Server:
    """Return what the database says of itself. Raises `StoreUnavailable`."""
    async with _open_engine(settings, creates=False) as engine:
        return await look_at_server(engine)


async def check_store(settings: Settings) -> None:
    """Raise `StoreUnavailable` if the store is not migrated, or this role may not use it."""
    async with open_store(settings) as store:
        await store.check()


def masked_url(settings: Settings) -> str:
    """Return the URL of the store with its password hidden. Raises `SettingsError`."""
    url = database_url(settings)
    if url is None:
        return MEMORY
    if "password" in url.query:
        url = url.update_query_dict({"password": "hidden"})
    return url.render_as_string()


@asynccontextmanager
async def _open_engine(settings: Settings, *, creates: bool = True) -> AsyncIterator[AsyncEngine]:
    """Open the database of a command. A SQLite file that is missing is created, or refused."""
    url = database_url(settings)
    if url is None:
        raise SettingsError(
            "PETS_DATABASE_URL: memory:// is empty, and is forgotten when the command ends"
        )
    if not creates and is_missing(url):
        raise StoreUnavailable(f"there is no file {url.database}")
    if is_read_only(url):
        url = read_only(url)
    config = create_config(url, is_for_searches=True)
    engine = config.get_engine()
    try:
        yield engine
    finally:
        await engine.dispose()


def database_url(settings: Settings) -> URL | None:
    """Return the URL of the database. A store in memory has none. Raises `SettingsError`."""
    if settings.database_url == MEMORY:
        return None
    try:
        return parse_url(settings.database_url)
    except ValueError as error:
        raise SettingsError(f"PETS_DATABASE_URL: {error}") from None
