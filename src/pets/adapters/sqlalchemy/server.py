"""What a database says of itself."""

from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.failures import translated
from pets.adapters.sqlalchemy.postgresql_session import too_old
from pets.adapters.sqlalchemy.repository import session_of
from pets.domain.errors import StoreUnavailable


class Server(NamedTuple):
    """A database that answers."""

    name: str
    version: str
    encoding: str
    clock: float
    """Its time, in seconds since 1970."""


_LOOK: Final = {
    "postgresql": """
        SELECT 'PostgreSQL', current_setting('server_version'),
            current_setting('server_version_num')::int, current_setting('server_encoding'),
            extract(epoch FROM clock_timestamp())::float8
    """,
    "sqlite": """
        SELECT 'SQLite', sqlite_version(), NULL, (SELECT encoding FROM pragma_encoding),
            (julianday('now') - 2440587.5) * 86400
    """,
}


async def look_at_server(engine: AsyncEngine) -> Server:
    """Raises `StoreUnavailable`, also if the server is too old."""
    async with translated, session_of(engine) as session:
        ((name, version, number, encoding, clock),) = await session.run(_LOOK[engine.dialect.name])
    if number is not None and (obstacle := too_old(version, number)):
        raise StoreUnavailable(obstacle)
    return Server(name, version, encoding, clock)
