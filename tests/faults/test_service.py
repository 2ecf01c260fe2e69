"""Processes of the service end in every way, and no acknowledged pet is lost or doubled."""

import asyncio
import math
import os
import signal
import time
from typing import Final

import pytest

from tests.faults import stuck
from tests.faults.conftest import Survives
from tests.faults.load import CLIENTS
from tests.faults.postgresql import Database
from tests.faults.scenario import Scenario
from tests.faults.service import Service

pytestmark = pytest.mark.anyio

IN_FLIGHT: Final = CLIENTS + 2
"""How many requests are under way at most: one of each client, and one of each health check."""

STUCK_SECONDS: Final = 10
"""How long an event loop may be stuck."""


async def test_kills_of_one_worker(database: Database, survives: Survives) -> None:
    kills = 5

    async def fault(service: Service) -> None:
        for number in range(kills):
            os.kill(service.worker_pids()[0], signal.SIGKILL)
            await service.wait_for_start(number + 1)

    name = f"service: SIGKILL of a worker, {kills} times"
    unanswered = kills * IN_FLIGHT
    await survives(Scenario(name=name, store=database, fault=fault, unanswered=unanswered))


async def test_a_kill_of_all_processes(database: Database, survives: Survives) -> None:
    async def fault(service: Service) -> None:
        await service.kill()
        await service.start()

    scenario = Scenario(
        name="service: SIGKILL of all",
        store=database,
        fault=fault,
        unanswered=math.inf,
        goes_away=True,
    )
    await survives(scenario)


async def test_a_kill_of_the_parent_whose_workers_then_finish(
    database: Database, survives: Survives
) -> None:
    """Every request that was sent is answered, and the port is free."""

    async def fault(service: Service) -> None:
        await service.stop(signal.SIGKILL)
        await service.start()

    name = "service: SIGKILL of the parent"
    await survives(Scenario(name=name, store=database, fault=fault, goes_away=True))


async def test_a_stop_and_a_start(database: Database, survives: Survives) -> None:
    """Every request that was sent is answered."""

    async def fault(service: Service) -> None:
        assert await service.stop(signal.SIGTERM) == 0
        await service.start()

    name = "service: SIGTERM and start"
    await survives(Scenario(name=name, store=database, fault=fault, goes_away=True))


async def test_a_replacement_of_all_workers_that_nobody_notices(
    database: Database, survives: Survives
) -> None:
    async def fault(service: Service) -> None:
        before = service.worker_pids()
        service.send(signal.SIGHUP)
        await service.wait_for_start(len(before))
        await asyncio.to_thread(service.wait_for_end_of, before)

    await survives(Scenario(name="service: SIGHUP", store=database, fault=fault, hurts=False))


async def test_a_stuck_event_loop(database: Database, survives: Survives) -> None:
    async def fault(service: Service) -> None:
        begin = time.monotonic()
        # One worker may have accepted all connections.
        os.kill(service.busiest_worker(), signal.SIGUSR2)
        await service.wait_for_start()
        assert time.monotonic() - begin < STUCK_SECONDS

    scenario = Scenario(
        name="service: stuck event loop",
        store=database,
        fault=fault,
        module=stuck.__name__,
        deadline=STUCK_SECONDS,
        unanswered=IN_FLIGHT,
    )
    await survives(scenario)
