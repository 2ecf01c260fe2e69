"""Several hosts in the URL of PostgreSQL, of which one takes changes."""

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pets.adapters.sqlalchemy.checks import look_at_server
from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.primary import HOST_SECONDS
from pets.domain.errors import StoreUnavailable
from tests.faults.postgresql import PostgreSQLServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


async def connect(
    *ports: int, user: str = "postgres", options: str = "", query: str = "SELECT 7"
) -> object:
    """Return what a query gets."""
    hosts = "&".join(f"host=127.0.0.1:{port}" for port in ports)
    url = parse_url(f"postgresql://{user}@/postgres?{hosts}{options}")
    engine = create_config(url).get_engine()
    try:
        async with engine.connect() as connection:
            return (await connection.exec_driver_sql(query)).scalar_one()
    finally:
        await engine.dispose()


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_silent_host_delays_nobody(
    postgresql: PostgreSQLServer, silent_port: int, *, is_first: bool
) -> None:
    ports = [silent_port, postgresql.port] if is_first else [postgresql.port, silent_port]
    began = time.monotonic()
    assert await connect(*ports) == 7
    assert time.monotonic() - began < HOST_SECONDS


async def test_a_host_has_two_seconds(silent_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await connect(silent_port, silent_port)
    assert HOST_SECONDS <= time.monotonic() - began < HOST_SECONDS + 1


async def test_what_a_server_says_is_the_reason(
    postgresql: PostgreSQLServer, silent_port: int
) -> None:
    with pytest.raises(Exception, match='role "nobody" does not exist'):
        await connect(silent_port, postgresql.port, user="nobody")


@pytest.fixture(scope="module")
def standby(postgresql: PostgreSQLServer) -> Iterator[PostgreSQLServer]:
    folder = Path(tempfile.mkdtemp(prefix="pets-standby-"))
    server = postgresql.copy_to(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.mark.parametrize("wanted", ["", "any", "read-write", "primary"])
async def test_the_host_that_takes_changes_is_used(
    postgresql: PostgreSQLServer, standby: PostgreSQLServer, wanted: str
) -> None:
    options = f"&target_session_attrs={wanted}"
    query = "SELECT pg_is_in_recovery()"
    assert await connect(standby.port, postgresql.port, options=options, query=query) is False


@pytest.mark.parametrize("wanted", ["read-write", "primary"])
async def test_a_host_that_takes_no_changes_is_refused_if_one_is_asked_for(
    standby: PostgreSQLServer, wanted: str
) -> None:
    url = parse_url(f"{standby.admin_url}?target_session_attrs={wanted}")
    engine = create_config(url).get_engine()
    with pytest.raises(StoreUnavailable, match="takes no changes"):
        await look_at_server(engine)
    await engine.dispose()


@pytest.mark.parametrize("wanted", ["read-only", "standby", "prefer-standby"])
def test_a_host_that_takes_no_changes_cannot_be_asked_for(wanted: str) -> None:
    with pytest.raises(ValueError, match="a server that takes changes"):
        parse_url(f"postgresql://a:1,b:2/pets?target_session_attrs={wanted}")


def test_a_host_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="each host needs a port"):
        parse_url("postgresql:///pets?host=a:5432&host=b")
