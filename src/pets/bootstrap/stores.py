"""The stores that settings name, as commands use them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy import checks, name_index
from pets.adapters.sqlalchemy.checks import (
    IdsBehind,
    OldVersions,
    Server,
    WrongCount,
    check_revision,
    look_at_server,
)
from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.migrations import upgrade
from pets.adapters.sqlalchemy.name_index import NameIndex
from pets.adapters.sqlalchemy.postgresql_options import SECRETS
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.adapters.sqlalchemy.sqlite_backup import (
    copy_backup,
    copy_store,
    remove_companions,
    taken,
)
from pets.adapters.sqlalchemy.sqlite_file import (
    Access,
    StoreFile,
    check_readable,
    hold,
    parts_of,
    path_of,
)
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


def hold_store(settings: Settings) -> StoreFile | None:
    """Keep a SQLite store from being restored until this process and its children have ended.

    Raises `SettingsError`, and `StoreUnavailable` if it is being restored.
    """
    url = database_url(settings)
    path = url and path_of(url)
    return hold(path) if path else None


def files_of(settings: Settings) -> Sequence[Path]:
    """Return the files that the store consists of, first its own, if it is one of SQLite."""
    url = database_url(settings)
    path = url and path_of(url)
    return parts_of(path) if path else []


def back_up(settings: Settings, target: Path) -> None:
    """Copy the store, as it is at one moment, into a new file.

    Raises `StoreUnavailable`, also if the store is damaged.
    """
    copy_store(sqlite_path(settings), target)


def restore(settings: Settings, backup: Path, target: Path) -> None:
    """Make a store of a backup in a new file. Then remove the `-wal` of the old one.

    Call it within `taken_store`. Raises `StoreUnavailable` if the backup is none or is damaged.
    """
    copy_backup(backup, target)
    remove_companions(sqlite_path(settings))


def taken_store(settings: Settings) -> AbstractContextManager[None]:
    """Keep everybody else from the store. Raises `StoreUnavailable` if anybody uses it."""
    return taken(sqlite_path(settings))


def sqlite_path(settings: Settings) -> Path:
    """Return the file of the store. Raises `SettingsError` if it is no store of SQLite."""
    path = path_of(_database_url(settings))
    if path is None:
        raise SettingsError(
            "PETS_DATABASE_URL: this copies a file of SQLite; use pg_dump and pg_restore"
        )
    return path


@asynccontextmanager
async def open_store(settings: Settings, *, writes: bool = True) -> AsyncIterator[PetRepository]:
    """Open a migrated store for a command, whose statements have no time limit.

    Raises `SettingsError` for a store in memory, and `StoreUnavailable`.
    """
    async with _open_engine(settings, Access.WRITE if writes else Access.READ) as engine:
        await check_revision(engine)
        yield SQLAlchemyPetRepository(engine)


async def check_counts(settings: Settings, *, repair: bool) -> Sequence[WrongCount]:
    """Return the kept counts that are wrong, or that were wrong until they were repaired.

    Raises `StoreUnavailable`, and `SettingsError` for a store in memory.
    """
    async with _open_engine(settings, Access.WRITE if repair else Access.READ) as engine:
        await check_revision(engine)
        return await (checks.repair_counts(engine) if repair else checks.check_counts(engine))


async def find_old_versions(settings: Settings) -> OldVersions:
    """Return how many old versions the kept counts have. Raises `StoreUnavailable`."""
    async with _open_engine(settings, Access.READ) as engine:
        return await checks.find_old_versions(engine)


async def check_ids(settings: Settings, *, repair: bool) -> IdsBehind | None:
    """Return how the sequence of ids is behind the pets, or was until it was repaired.

    Raises as `check_counts` does.
    """
    async with _open_engine(settings, Access.WRITE if repair else Access.READ) as engine:
        return await (checks.repair_ids(engine) if repair else checks.check_ids(engine))


async def find_name_index(settings: Settings) -> NameIndex:
    """Return the state of the index of names, like "made". Raises `StoreUnavailable`."""
    async with _open_engine(settings, Access.READ) as engine:
        return await name_index.find_name_index(engine)


async def make_name_index(settings: Settings, show: Callable[[str, int, int], None]) -> None:
    """Make the index of names, and show how far it is, twice a second.

    `show` gets PostgreSQL's name of the phase, and how many blocks are done, and of how many.
    Raises `StoreUnavailable`, and `SettingsError` for a store of another kind.
    """
    _refuse_sqlite(settings)
    async with _open_engine(settings, Access.READ) as engine:
        await check_revision(engine)
        making = asyncio.create_task(name_index.create_name_index(engine))
        try:
            while not (await asyncio.wait({making}, timeout=0.5))[0]:
                progress = await name_index.find_progress(engine)
                if progress:
                    show(*progress)
        finally:
            making.cancel()  # It has no effect on a task that is done.
            await asyncio.wait({making})
        await making


async def drop_name_index(settings: Settings) -> None:
    """Remove the index of names, if there is one. Raises as `make_name_index`."""
    _refuse_sqlite(settings)
    async with _open_engine(settings, Access.READ) as engine:
        await name_index.drop_name_index(engine)


def _refuse_sqlite(settings: Settings) -> None:
    if path_of(_database_url(settings)):
        raise SettingsError("PETS_DATABASE_URL: only PostgreSQL can index the parts of names")


async def look_at_store(settings: Settings) -> Server:
    """Return what the database says of itself. Raises `StoreUnavailable`."""
    async with _open_engine(settings, Access.READ) as engine:
        return await look_at_server(engine)


async def check_store(settings: Settings) -> None:
    """Raise `StoreUnavailable` if the store is not migrated, or this role may not use it."""
    async with _open_engine(settings, Access.READ) as engine:
        await SQLAlchemyPetRepository(engine).check()


def masked_url(settings: Settings) -> str:
    """Return the URL of the store with its password hidden. Raises `SettingsError`."""
    url = database_url(settings)
    if url is None:
        return MEMORY
    secrets = SECRETS & url.query.keys()
    return url.update_query_dict(dict.fromkeys(secrets, "hidden")).render_as_string()


@asynccontextmanager
async def _open_engine(settings: Settings, access: Access) -> AsyncIterator[AsyncEngine]:
    url = _database_url(settings)
    path = path_of(url)
    if path and access is Access.READ:
        check_readable(path)
    file = StoreFile(path, access) if path else None
    engine = create_config(url, is_for_searches=True, file=file).get_engine()
    try:
        yield engine
    finally:
        await engine.dispose()


def _database_url(settings: Settings) -> URL:
    """Return the URL of the database of a command. Raises `SettingsError`."""
    url = database_url(settings)
    if url is None:
        raise SettingsError(
            "PETS_DATABASE_URL: memory:// is empty, and is forgotten when the command ends"
        )
    return url


def database_url(settings: Settings) -> URL | None:
    """Return the URL of the database. A store in memory has none. Raises `SettingsError`."""
    if settings.database_url == MEMORY:
        return None
    try:
        return parse_url(settings.database_url)
    except ValueError as error:
        raise SettingsError(f"PETS_DATABASE_URL: {error}") from None
