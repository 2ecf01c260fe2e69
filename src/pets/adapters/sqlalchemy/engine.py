"""URLs of databases, and the engines that connect to them."""

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

from advanced_alchemy.config import AlembicAsyncConfig, EngineConfig, SQLAlchemyAsyncConfig
from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.exc import ArgumentError

from pets.adapters.sqlalchemy import postgresql_session, sqlite_session
from pets.adapters.sqlalchemy.postgresql_hosts import Primary, has_several_hosts
from pets.adapters.sqlalchemy.postgresql_session import (
    QUICK_SESSION,
    SEARCH_SESSION,
    time_limits,
)
from pets.adapters.sqlalchemy.tables import VERSION_TABLE, metadata

_DRIVERS: Final = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}

QUICK_CONNECTIONS: Final = 10
SEARCH_CONNECTIONS: Final = 5

SEARCH_DATABASE: Final = "search_database"
"""The option of a URL for a pooler that has another name for the database, with other settings."""

COMMAND_SECONDS: Final = 10
"""How long a command, which has no time limit of its own, waits to connect or to write."""

MAX_SQLITE_LOCK_SECONDS: Final = 7
"""How long a call waits at most while another one writes.

It is less than the grace of a service that stops, because a waiting call cannot be cancelled.
"""


def parse_url(text: str) -> URL:
    """Return the URL with the name of this service's driver.

    Raises `ValueError` for a URL that can never work. The message has no password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(
            "this is not a URL like postgresql://user:password@host:5432/database"
        ) from None
    if url.drivername not in _DRIVERS:
        raise ValueError(
            f"unknown scheme {url.drivername!r}: use postgresql://, sqlite+aiosqlite:/// or memory://"
        )
    url = url.set(drivername=_DRIVERS[url.drivername])
    if url.port is not None and not 1 <= url.port <= 65535:
        raise ValueError(f"port {url.port} is not from 1 to 65535")
    if url.get_backend_name() == "sqlite":
        _check_sqlite_url(url, text)
    if has_several_hosts(url) and not all(":" in host for host in url.query["host"]):
        raise ValueError("each host needs a port, as in ?host=a:5432&host=b:5432")
    if "@" in (url.host or ""):
        raise ValueError("the password has an @, which must be written as %40")
    if "sslmode" in url.query:
        # Hosting services give URLs with libpq's name of the option, which the driver lacks.
        url = url.update_query_dict({"ssl": url.query["sslmode"]}).difference_update_query(
            ["sslmode"]
        )
    return url


def _check_sqlite_url(url: URL, text: str) -> None:
    if url.host or url.username or url.password or url.port:
        raise ValueError("SQLite has no host: write three slashes before the file, or four for /")
    if url.database in {None, "", ":memory:"}:
        raise ValueError("SQLite needs a file, as in sqlite+aiosqlite:///pets.db; or use memory://")
    if "?" in text:
        raise ValueError("SQLite takes no options; write a ? in the name of a file as %3F")


def sqlite_obstacle(url: URL) -> str:
    """Return why this process cannot write to a SQLite store, or "" if it can.

    SQLite also writes to two files beside its own, so it must be able to write to the folder.
    """
    if url.get_backend_name() != "sqlite":
        return ""
    file = Path(url.database or "")
    if not file.parent.is_dir():
        return "there is no such folder"
    for path in (file, _beside(file, "wal"), _beside(file, "shm"), file.parent):
        if path.exists() and not os.access(path, os.W_OK):
            return f"{path} is read-only"
    return ""


def is_read_only(url: URL) -> bool:
    """Whether this is a SQLite store that this process can read but not write."""
    return bool(sqlite_obstacle(url)) and Path(url.database or "").is_file()


def is_missing(url: URL) -> bool:
    """Whether this is a SQLite store whose file does not exist."""
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file()


def _beside(file: Path, name: str) -> Path:
    return file.with_name(f"{file.name}-{name}")


def read_only(url: URL) -> URL:
    """Return the URL that opens a SQLite store for reading alone."""
    file = Path(url.database or "").absolute()
    query = {"uri": "true", "mode": "ro"}
    has_writer = _beside(file, "wal").exists()
    if not has_writer and not os.access(file.parent, os.W_OK):
        # SQLite cannot create the files that it shares with writers. No writer has created them
        # either, so nobody writes.
        query["immutable"] = "1"
    return url.set(database=f"file:{quote(str(file))}", query=query)


def create_config(
    url: URL,
    *,
    seconds: float | None = None,
    is_for_searches: bool = False,
    primary: Primary | None = None,
) -> SQLAlchemyAsyncConfig:
    """Return the configuration of an engine for a URL from `parse_url`, and of its migrations.

    On PostgreSQL a statement takes no longer than `seconds`. The server gives up a little earlier,
    so that the connection stays usable. An engine for searches has connections of its own, so that
    searches leave some to the quick calls. `primary` finds the server, if there are several.
    """
    if SEARCH_DATABASE in url.query:
        if is_for_searches:
            url = url.set(database=str(url.query[SEARCH_DATABASE]))
        url = url.difference_update_query([SEARCH_DATABASE])
    wait_seconds = 0.3 * (seconds or COMMAND_SECONDS)
    is_postgresql = url.get_backend_name() == "postgresql"
    if is_postgresql:
        session = SEARCH_SESSION if is_for_searches else QUICK_SESSION
        connect_args: dict[str, object] = {
            "timeout": wait_seconds,
            "command_timeout": seconds,
            "server_settings": session | (time_limits(seconds) if seconds else {}),
            "async_creator_fn": (primary or Primary()).connect,
        }
    else:
        lock_seconds = min(0.7 * (seconds or COMMAND_SECONDS), MAX_SQLITE_LOCK_SECONDS)
        connect_args = {"timeout": lock_seconds}
    config = SQLAlchemyAsyncConfig(
        connection_string=url.render_as_string(hide_password=False),
        metadata=metadata,
        engine_config=EngineConfig(
            # Nearly every call is one statement. With autocommit it is one round trip.
            isolation_level="AUTOCOMMIT",
            pool_size=SEARCH_CONNECTIONS if is_for_searches else QUICK_CONNECTIONS,
            max_overflow=0,
            pool_timeout=wait_seconds,  # type: ignore[arg-type]  # SQLAlchemy takes fractions of seconds.
            # On PostgreSQL every call ends its own transaction, so there is nothing to roll back.
            pool_reset_on_return=None if is_postgresql else "rollback",  # type: ignore[arg-type]  # SQLAlchemy takes None, but this type does not say so.
            hide_parameters=True,  # They are pets and keys, which the log must not hold.
            connect_args=connect_args,
        ),
        alembic_config=AlembicAsyncConfig(
            script_location="pets.adapters.sqlalchemy:migrations",
            version_table_name=VERSION_TABLE,
            render_as_batch=False,
        ),
    )
    _prepare_connections(config.get_engine().sync_engine, url)
    return config


def _prepare_connections(engine: Engine, url: URL) -> None:
    if url.get_backend_name() == "postgresql":
        event.listen(engine, "connect", postgresql_session.notice_lost_network)
        event.listen(engine, "connect", postgresql_session.notice_unreplicated)
        event.listen(engine, "connect", postgresql_session.forbid_timeouts)
        event.listen(engine, "checkout", postgresql_session.refuse_closed)
    else:
        event.listen(engine, "connect", sqlite_session.create_casefold)
        if "mode" not in url.query:
            event.listen(engine, "connect", sqlite_session.write_safely)
