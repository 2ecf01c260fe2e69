"""Several hosts in the URL of PostgreSQL, of which one takes changes."""

import socket
import time
from collections.abc import Iterator

import pytest

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.postgresql_hosts import HOST_SECONDS
from tests.faults.postgresql import PostgreSQLServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


async def connect(*ports: int, user: str = "postgres") -> object:
    """Return what a query gets."""
    hosts = "&".join(f"host=127.0.0.1:{port}" for port in ports)
    engine = create_config(parse_url(f"postgresql://{user}@/postgres?{hosts}")).get_engine()
    try:
        async with engine.connect() as connection:
            return (await connection.exec_driver_sql("SELECT 7")).scalar_one()
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


def test_a_host_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="each host needs a port"):
        parse_url("postgresql:///pets?host=a:5432&host=b")
