"""URLs of databases, and the engines that connect to them."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from advanced_alchemy.config import AlembicAsyncConfig, EngineConfig, SQLAlchemyAsyncConfig
from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.exc import ArgumentError

from pets.adapters.sqlalchemy import postgresql_session, postgresql_url, sqlite_session
from pets.adapters.sqlalchemy.models import VERSION_TABLE, metadata
from pets.adapters.sqlalchemy.postgresql_session import (
    QUICK_SESSION,
    SEARCH_SESSION,
    time_limits,
)
from pets.adapters.sqlalchemy.primary import Primary
from pets.adapters.sqlalchemy.sqlite_file import STORE_FILE, Access, StoreFile, path_of

_DRIVERS: Final = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that end a line or a text, or that a terminal obeys."""

QUICK_CONNECTIONS: Final = 10
SEARCH_CONNECTIONS: Final = 5

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
    if _CONTROLS.search(text) or _CONTROLS.search(unquote(text)):
        raise ValueError("there is a control character in it")
    try:
        unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("its %-escapes are not UTF-8") from None
    try:
        # Empty options are kept, so that an unknown one is found.
        url = make_url(postgresql_url.name_hosts_as_options(text), keep_blank_values=True)
    except (ArgumentError, ValueError):
        raise ValueError(
            "this is not a URL like postgresql://user:password@host:5432/database"
        ) from None
    if url.drivername not in _DRIVERS:
        raise ValueError(
            f"unknown scheme {url.drivername!r}: use postgresql://, sqlite+aiosqlite:/// or memory://"
        )
    url = url.set(drivername=_DRIVERS[url.drivername])
    if url.get_backend_name() == "sqlite":
        _check_sqlite_url(url, text)
        return url
    if "@" in text.partition("@")[2]:
        raise ValueError("the password has an @, which must be written as %40")
    return postgresql_url.checked(url)


def _check_sqlite_url(url: URL, text: str) -> None:
    if url.host or url.username or url.password or url.port:
        raise ValueError("SQLite has no host: write three slashes before the file, or four for /")
    if url.database in {None, "", ":memory:"}:
        raise ValueError("SQLite needs a file, as in sqlite+aiosqlite:///pets.db; or use memory://")
    if "?" in text:
        raise ValueError("SQLite takes no options; write a ? in the name of a file as %3F")
    try:
        Path(url.database or "").stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:  # Such a name cannot be, or this process may not look there.
        raise ValueError(f"{error.strerror}: {url.database}") from None


def create_config(
    url: URL,
    *,
    seconds: float | None = None,
    is_for_searches: bool = False,
    primary: Primary | None = None,
    file: StoreFile | None = None,
) -> SQLAlchemyAsyncConfig:
    """Return the configuration of an engine for a URL from `parse_url`, and of its migrations.

    On PostgreSQL a statement takes no longer than `seconds`. The server gives up a little earlier,
    so that the connection stays usable. An engine for searches has connections of its own, so that
    searches leave some to the quick calls. `primary` finds the server, if there are several.
    On SQLite no call gets another file than `file`, which is by default the one that exists now.
    """
    wait_seconds = 0.3 * (seconds or COMMAND_SECONDS)
    path = path_of(url)
    if path is None:
        connect_args = _postgresql_arguments(url, seconds, is_for_searches=is_for_searches)
        connect_args["async_creator_fn"] = (primary or Primary()).connect
        url = url.set(query={})  # The arguments say it all.
    else:
        lock_seconds = min(0.7 * (seconds or COMMAND_SECONDS), MAX_SQLITE_LOCK_SECONDS)
        connect_args = {"timeout": lock_seconds}
        file = file or StoreFile(path)
        url = file.url()
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
            pool_reset_on_return="rollback" if path else None,  # type: ignore[arg-type]  # SQLAlchemy takes None, but this type does not say so.
            hide_parameters=True,  # They are pets and keys, which the log must not hold.
            connect_args=connect_args,
        ),
        alembic_config=AlembicAsyncConfig(
            script_location="pets.adapters.sqlalchemy:migrations",
            version_table_name=VERSION_TABLE,
            render_as_batch=False,
        ),
    )
    engine = config.get_engine()
    _prepare_connections(engine.sync_engine, file)
    engine.update_execution_options(**{STORE_FILE: file})
    return config


def _postgresql_arguments(
    url: URL, seconds: float | None, *, is_for_searches: bool
) -> dict[str, object]:
    """Return the arguments of `asyncpg.connect`. What a URL says yields to what must be."""
    arguments: dict[str, object] = postgresql_url.connect_arguments(url)
    if is_for_searches and "search_database" in url.query:
        arguments["database"] = url.query["search_database"]
    session = SEARCH_SESSION if is_for_searches else QUICK_SESSION
    limits = time_limits(seconds) if seconds else {}
    wanted = postgresql_url.connect_seconds(url)
    own = 0.3 * (seconds or COMMAND_SECONDS)
    return arguments | {
        # A request cannot wait longer, but a command can.
        "timeout": min(own, wanted or own) if seconds else wanted or own,
        "command_timeout": seconds,
        "server_settings": postgresql_url.server_settings(url) | session | limits,
    }


def _prepare_connections(engine: Engine, file: StoreFile | None) -> None:
    if file is None:
        event.listen(engine, "do_connect", postgresql_session.connect_in_greenlet)
        event.listen(engine, "connect", postgresql_session.notice_lost_network)
        event.listen(engine, "connect", postgresql_session.notice_unreplicated)
        event.listen(engine, "connect", postgresql_session.forbid_timeouts)
        event.listen(engine, "checkout", postgresql_session.refuse_closed)
    else:
        event.listen(engine, "connect", sqlite_session.create_casefold)
        if file.access is Access.READ:
            event.listen(engine, "connect", sqlite_session.only_read)
        else:
            event.listen(engine, "connect", sqlite_session.write_safely)
