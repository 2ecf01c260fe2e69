"""The suite is worth what it catches, so each planted fault must be found."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.faults import mutants
from tests.faults.conftest import Reveals
from tests.faults.postgresql import Database, PostgreSQLServer
from tests.faults.proxy import proxied
from tests.faults.scenario import Scenario, Store
from tests.faults.service import Service
from tests.faults.test_network import DistantDatabase

pytestmark = pytest.mark.anyio


async def nothing(_: Service) -> None:
    """Let the load alone find the fault."""
    await asyncio.sleep(1)


def planted(
    plant: Callable[[], None],
    store: Store,
    fault: Callable[[Service], Awaitable[None]] = nothing,
) -> Scenario:
    return Scenario(
        name=plant.__name__.replace("_", " "),
        store=store,
        fault=fault,
        module=mutants.__name__,
        environment={"PLANTED_FAULT": plant.__name__},
    )


async def test_a_reader_that_joins_a_batch_under_way_is_found(
    database: Database, reveals: Reveals
) -> None:
    findings = await reveals(planted(mutants.reader_joins_the_batch_under_way, database))
    assert findings.not_linearizable


async def test_a_change_acknowledged_before_its_commit_is_found(
    database: Database, reveals: Reveals
) -> None:
    findings = await reveals(planted(mutants.change_is_acknowledged_before_it_commits, database))
    assert findings.not_linearizable


async def test_a_commit_that_a_kill_undoes_is_found(
    postgresql: PostgreSQLServer, database: Database, reveals: Reveals
) -> None:
    async def fault(_: Service) -> None:
        await asyncio.to_thread(postgresql.kill)
        await asyncio.to_thread(postgresql.start)

    plant = mutants.commit_is_acknowledged_before_it_is_safe
    findings = await reveals(planted(plant, database, fault))
    assert findings.lost


async def test_a_write_retried_after_a_lost_connection_is_found(
    database: Database, reveals: Reveals
) -> None:
    async with proxied(database.server.port) as proxy:

        async def fault(_: Service) -> None:
            proxy.slow_down(bytes_at_once=1_000, pause=0, cut_every=20)
            await asyncio.sleep(3)
            proxy.pass_on()

        plant = mutants.write_is_retried_after_a_lost_connection
        findings = await reveals(planted(plant, DistantDatabase(database, proxy), fault))
    assert findings.doubled
    assert findings.not_linearizable


async def test_a_forgotten_key_is_found(database: Database, reveals: Reveals) -> None:
    findings = await reveals(planted(mutants.key_is_forgotten, database))
    assert findings.doubled


async def test_an_expected_pet_that_is_not_compared_is_found(
    database: Database, reveals: Reveals
) -> None:
    findings = await reveals(planted(mutants.expected_is_not_compared, database))
    assert findings.not_linearizable
