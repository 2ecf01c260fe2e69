"""Three replicas behind HAProxy, with PgBouncer, and what happens when a part of it breaks."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.conftest import Judge
from tests.faults.load import CLIENTS
from tests.faults.postgresql import Database
from tests.faults.replicas import Fleet, fleet_of
from tests.integration.docker import needs_docker

pytestmark = [pytest.mark.anyio, needs_docker]


@pytest.fixture
async def fleet(database: Database, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_of(database, tmp_path) as fleet:
        yield fleet


async def test_a_rolling_restart_fails_no_request(
    fleet: Fleet, database: Database, judge: Judge
) -> None:
    async def fault() -> None:
        for replica in fleet.replicas:
            await replica.stop()
            await replica.start()
            await asyncio.sleep(1)  # Until HAProxy has seen it.

    judge(await fleet.survives("replicas: rolling restart", database, fault, failed=0))


async def test_a_killed_replica_fails_only_its_requests_in_flight(
    fleet: Fleet, database: Database, judge: Judge
) -> None:
    async def fault() -> None:
        await fleet.replicas[0].kill()
        await asyncio.sleep(2)
        await fleet.replicas[0].start()

    judge(await fleet.survives("replicas: one killed", database, fault, failed=CLIENTS))


@pytest.mark.parametrize("number", ["SIGINT", "SIGKILL"])
async def test_pgbouncer_restarts(
    fleet: Fleet, database: Database, judge: Judge, number: str
) -> None:
    async def fault() -> None:
        await asyncio.to_thread(fleet.pgbouncer.restart, number)

    judge(await fleet.survives(f"replicas: PgBouncer, {number}", database, fault))


async def test_nothing_breaks(fleet: Fleet, database: Database, judge: Judge) -> None:
    """Keys and conditional changes are right across replicas, too."""

    async def fault() -> None:
        await asyncio.sleep(2)

    judge(await fleet.survives("replicas: no fault", database, fault, failed=0))


async def test_others_migrate_while_replicas_serve(
    fleet: Fleet, database: Database, judge: Judge
) -> None:
    async def fault() -> None:
        for _ in range(5):
            migration = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pets", "migrate"),
                env=os.environ | {"PETS_DATABASE_URL": database.url},
            )
            assert await migration.wait() == 0

    judge(await fleet.survives("replicas: migration beside them", database, fault, failed=0))
