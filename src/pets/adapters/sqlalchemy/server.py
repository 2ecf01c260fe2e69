"""What a database says of itself."""

from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.failures import translated
from pets.adapters.sqlalchemy.postgresql_session import too_old
from pets.adapters.sqlalchemy.repository import command_session_of
from pets.domain.errors import StoreUnavailable


class Server(NamedTuple):
    """A database that answers."""

    name: str
    version: str
    encoding: str
    clock: float
    """Its time, in seconds since 1970."""


# It is text, because it is about the servers and no table.
_LOOK: Final = {
    "postgresql": text("""
        SELECT 'PostgreSQL' AS name, current_setting('server_version') AS version,
            CAST(current_setting('server_version_num') AS integer) AS number,
            current_setting('server_encoding') AS encoding,
            CAST(extract(epoch FROM clock_timestamp()) AS float8) AS clock
    """),
    "sqlite": text("""
        SELECT 'SQLite' AS name, sqlite_version() AS version, NULL AS number,
            (SELECT encoding FROM pragma_encoding) AS encoding,
            (julianday('now') - 2440587.5) * 86400 AS clock
    """),
}


async def look_at_server(engine: AsyncEngine) -> Server:
    """Raises `StoreUnavailable`, also if the server is too old."""
    async with translated, command_session_of(engine) as session:
        (found,) = await session.fetch(_LOOK[engine.dialect.name])
    number = found["number"]
    if number is not None and (obstacle := too_old(found["version"], number)):
        raise StoreUnavailable(obstacle)
    return Server(found["name"], found["version"], found["encoding"], found["clock"])
