"""The network between the service and PostgreSQL fails, and nothing is lost, doubled or hung."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.faults.conftest import Survives
from tests.faults.postgresql import Database
from tests.faults.proxy import Proxy, proxied
from tests.faults.scenario import OUTAGE_SECONDS, Scenario
from tests.faults.service import Service

pytestmark = pytest.mark.anyio


class DistantDatabase(Database):
    """A database at the other end of a proxy."""

    def __init__(self, database: Database, proxy: Proxy) -> None:
        super().__init__(database.server, database.name)
        self.url = self.url.replace(f":{self.server.port}/", f":{proxy.port}/")
        self._proxy = proxy

    async def connections(self) -> int:
        return self._proxy.connections()


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    async with proxied(database.server.port) as proxy:
        yield proxy


@pytest.fixture
def distant(database: Database, proxy: Proxy) -> DistantDatabase:
    return DistantDatabase(database, proxy)


async def test_resets_of_all_connections(
    distant: DistantDatabase, proxy: Proxy, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        for _round in range(15):
            proxy.reset()
            await asyncio.sleep(0.2)

    await survives(Scenario(name="network: reset", store=distant, fault=fault))


async def test_a_black_hole_that_outlasts_the_deadline(
    distant: DistantDatabase, proxy: Proxy, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        proxy.swallow()
        await asyncio.sleep(OUTAGE_SECONDS)
        proxy.pass_on()

    await survives(Scenario(name="network: black hole", store=distant, fault=fault, workers=1))


async def test_a_black_hole_that_ends_in_resets(
    distant: DistantDatabase, proxy: Proxy, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        proxy.swallow()
        await asyncio.sleep(OUTAGE_SECONDS)
        proxy.reset()
        proxy.pass_on()

    await survives(Scenario(name="network: black hole, then reset", store=distant, fault=fault))


async def test_slow_answers_that_are_cut_off(
    distant: DistantDatabase, proxy: Proxy, survives: Survives
) -> None:
    async def fault(_: Service) -> None:
        proxy.slow_down(bytes_at_once=200, pause=0.01, cut_every=20)
        await asyncio.sleep(5)
        proxy.pass_on()

    await survives(Scenario(name="network: slow, answers cut off", store=distant, fault=fault))
