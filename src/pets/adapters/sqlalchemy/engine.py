"""How this service talks to PostgreSQL and SQLite."""

import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from advanced_alchemy.config import AlembicAsyncConfig, EngineConfig, SQLAlchemyAsyncConfig
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError

from pets.adapters.sqlalchemy.tables import VERSION_TABLE, metadata

_DRIVERS: Final = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}

# The settings of every session, whatever the defaults of the server, the database and the user.
_SESSION: Final = {
    # PostgreSQL would plan a listing anew every time, because it takes a limit that it does not know
    # to be a tenth of the table, and it would compile a plan for as many rows as that. The plans are
    # the same whatever is asked for.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    # In a higher isolation, concurrent changes of one pet would fail rather than wait.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    # What is confirmed survives a crash. "remote_apply" would add only that standbys show it,
    # and this service does not read from any.
    "synchronous_commit": "on",
    # The tables are in this schema.
    "search_path": "public",
    # Texts mean the same on every server.
    "standard_conforming_strings": "on",
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
    # This service has time limits of its own. An import or an export may take its time.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
_POSTGRESQL: Final = {"timeout": 5, "server_settings": _SESSION}


SQLITE_LOCK_SECONDS: Final = 30
"""How long a call waits while another one writes. A large import writes for longest, at its end."""


def parse_url(text: str) -> URL:
    """Return the URL with the driver of this service in it.

    Raises `ValueError` for a URL that can never work, in words that hold no password.
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
    if "@" in (url.host or ""):
        raise ValueError("the password has an @, which must be written as %40")
    if "sslmode" in url.query:  # libpq's name, in the URLs that hosting services hand out
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
    """Say which file or folder keeps this process from writing to a SQLite store; "" if none does.

    SQLite writes to two files beside its own, so it needs the folder too.
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
    """Whether this is a SQLite store that this process may read but not write to."""
    return bool(sqlite_obstacle(url)) and Path(url.database or "").is_file()


def _beside(file: Path, name: str) -> Path:
    return file.with_name(f"{file.name}-{name}")


def read_only(url: URL) -> URL:
    """Return the URL of a SQLite store that this process may only read."""
    file = Path(url.database or "").absolute()
    query = {"uri": "true", "mode": "ro"}
    has_log = _beside(file, "wal").exists()
    if not has_log and not os.access(file.parent, os.W_OK):
        # SQLite could not make the files that it shares with writers. No writer has made them, so
        # nobody writes.
        query["immutable"] = "1"
    return url.set(database=f"file:{quote(str(file))}", query=query)


def create_config(url: URL, *, statement_seconds: float | None = 30) -> SQLAlchemyAsyncConfig:
    """Return the configuration of an engine for a URL from `parse_url`, and of its migrations.

    On PostgreSQL a statement that takes longer than `statement_seconds` fails.
    """
    postgresql = url.get_backend_name() == "postgresql"
    if postgresql:
        connect_args = _POSTGRESQL | {"command_timeout": statement_seconds}
    else:
        connect_args = {"timeout": SQLITE_LOCK_SECONDS}
    config = SQLAlchemyAsyncConfig(
        connection_string=url.render_as_string(hide_password=False),
        metadata=metadata,
        engine_config=EngineConfig(
            # Every call is one statement: with autocommit it is one round trip, without BEGIN and COMMIT of its own.
            isolation_level="AUTOCOMMIT",
            pool_size=10,
            max_overflow=0,
            pool_timeout=5,
            connect_args=connect_args,
        ),
        alembic_config=AlembicAsyncConfig(
            script_location="pets.adapters.sqlalchemy:migrations",
            version_table_name=VERSION_TABLE,
            render_as_batch=False,
        ),
    )
    engine = config.get_engine().sync_engine
    if postgresql:
        event.listen(engine, "checkout", _refuse_closed)
    else:
        event.listen(engine, "connect", _set_up_sqlite)
        if "mode" not in url.query:
            event.listen(engine, "connect", _write_safely)
    return config


def _refuse_closed(
    connection: Any, *_: object
) -> None:  # Any: SQLAlchemy's adapter of an asyncpg connection
    """Have the pool replace connections that the server closed, so that its restart costs no request an error."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _set_up_sqlite(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Let SQL fold case as the domain does."""
    connection.create_function("casefold", 1, str.casefold, deterministic=True)


def _write_safely(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Let readers and a writer work side by side, and let commits survive the loss of power."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()
