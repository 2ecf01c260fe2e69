"""PostgreSQL fails in every way that it can, and no acknowledged pet is lost or doubled."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.faults.client import Client
from tests.faults.conftest import Survives
from tests.faults.disks import filled
from tests.faults.postgresql import ROLE, SMALL_DISK, Database, PostgreSQLServer
from tests.faults.scenario import OUTAGE_SECONDS, Scenario
from tests.faults.service import Service

pytestmark = pytest.mark.anyio

WAIT_FOR_A_WRITE: Final = """
    DO $$ BEGIN
        WHILE NOT EXISTS (
            SELECT FROM pg_locks WHERE NOT granted AND relation = 'pet_counts'::regclass
        ) LOOP
            PERFORM pg_sleep(0.01);
        END LOOP;
    END $$
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_no_fault_at_all(database: Database, survives: Survives) -> None:
    """Every check passes here, and two workers miss nothing that was acknowledged by the other."""

    async def fault(_: Service) -> None:
        await asyncio.sleep(3)

    await survives(Scenario(name="no fault", store=database, fault=fault, hurts=False))


async def test_a_kill_of_the_server_and_its_restart(
    postgresql: PostgreSQLServer, database: Database, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        await asyncio.to_thread(postgresql.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(postgresql.start)

    await survives(Scenario(name="PostgreSQL: SIGKILL and restart", store=database, fault=fault))


async def test_a_clean_restart(
    postgresql: PostgreSQLServer, database: Database, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        await asyncio.to_thread(postgresql.stop)
        await asyncio.sleep(1)
        await asyncio.to_thread(postgresql.start)

    await survives(Scenario(name="PostgreSQL: clean restart", store=database, fault=fault))


async def test_sessions_that_are_ended_again_and_again(
    postgresql: PostgreSQLServer, database: Database, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        async with connected(postgresql.admin_url) as connection:
            for _round in range(15):
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                    database.name,
                )
                await asyncio.sleep(0.2)

    await survives(
        Scenario(name="PostgreSQL: sessions terminated", store=database, fault=fault, workers=1)
    )


async def test_a_crash_of_one_session_which_ends_all_others(
    postgresql: PostgreSQLServer, database: Database, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        pids = await asyncio.to_thread(database.backends)
        os.kill(pids[0], signal.SIGKILL)
        await asyncio.to_thread(postgresql.wait)

    await survives(Scenario(name="PostgreSQL: one session crashed", store=database, fault=fault))


async def test_a_pause_that_is_longer_than_the_deadline(
    postgresql: PostgreSQLServer, database: Database, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        postgresql.signal_all(signal.SIGSTOP)
        await asyncio.sleep(OUTAGE_SECONDS)
        postgresql.signal_all(signal.SIGCONT)

    await survives(Scenario(name="PostgreSQL: paused", store=database, fault=fault))


async def test_a_lock_of_the_table_that_outlasts_the_deadline(
    database: Database, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        async with connected(database.admin_url) as connection, connection.transaction():
            await connection.execute("LOCK TABLE pets IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(OUTAGE_SECONDS)

    await survives(
        Scenario(name="PostgreSQL: table locked", store=database, fault=fault, workers=1)
    )


async def test_deadlocks_that_another_program_causes(
    postgresql: PostgreSQLServer, database: Database, survives: Survives
) -> None:
    """A write has `pets` when its trigger asks for `pet_counts`; the other program goes back."""
    await asyncio.to_thread(
        postgresql.execute, f"ALTER DATABASE {database.name} SET deadlock_timeout = '100ms'"
    )

    async def fault(_: Service) -> None:
        async with connected(database.admin_url) as connection:
            # The other program never notices a deadlock, so the service is its victim.
            await connection.execute("SET deadlock_timeout = '1h'")
            for _round in range(6):
                async with connection.transaction():
                    await connection.execute("LOCK TABLE pet_counts IN EXCLUSIVE MODE")
                    await connection.execute(WAIT_FOR_A_WRITE)
                    await connection.execute("LOCK TABLE pets IN EXCLUSIVE MODE")
                await asyncio.sleep(0.3)

    await survives(Scenario(name="PostgreSQL: deadlocks", store=database, fault=fault, hurts=False))
    query = f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database.name}'"
    ((deadlocks,),) = await asyncio.to_thread(postgresql.fetch, query)
    assert deadlocks >= 6


async def test_a_standby_that_only_reads_until_it_is_promoted(
    postgresql: PostgreSQLServer, database: Database, survives: Survives
) -> None:
    async def fault(service: Service) -> None:
        await asyncio.to_thread(postgresql.become_standby)
        await asyncio.sleep(3)
        client = Client(service.port, patience=1)
        assert (await client.ask("GET", "/pets/?limit=1")).status == 200
        client.close()
        await asyncio.to_thread(postgresql.execute, "SELECT pg_promote()")

    await survives(Scenario(name="PostgreSQL: read-only", store=database, fault=fault))


async def test_a_limit_of_one_connection(
    postgresql: PostgreSQLServer, database: Database, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        limit = f"ALTER ROLE {ROLE} CONNECTION LIMIT"
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1"
        async with connected(postgresql.admin_url) as connection:
            await connection.execute(f"{limit} 1")
            await connection.execute(end, ROLE)
            await asyncio.sleep(3)
            await connection.execute(f"{limit} -1")

    await survives(Scenario(name="PostgreSQL: connection limit 1", store=database, fault=fault))


async def test_a_full_disk(
    postgresql: PostgreSQLServer, small_disk: Path, survives: Survives
) -> None:
    database = await asyncio.to_thread(postgresql.new_database, SMALL_DISK)

    async def fault(_: Service) -> None:
        with filled(small_disk):
            await asyncio.sleep(4)

    await survives(Scenario(name="PostgreSQL: disk full", store=database, fault=fault))
    await asyncio.to_thread(postgresql.execute, f"DROP DATABASE {database.name}")
