"""The primary is lost and the standby promoted, and nothing is lost, doubled or hung."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.faults.conftest import Survives
from tests.faults.failover import Pair, count_sessions, running_pair
from tests.faults.proxy import Proxy, proxied
from tests.faults.scenario import Scenario
from tests.faults.service import Service

pytestmark = pytest.mark.anyio

WORKERS = 2
CANCEL_WAITS = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
BACK_SECONDS = 6
"""How long after the promotion the first good answer may come."""


@pytest.fixture
def pair() -> Iterator[Pair]:
    with running_pair(WORKERS) as pair:
        yield pair


@pytest.fixture
async def proxy(pair: Pair) -> AsyncIterator[Proxy]:
    """The way to the primary."""
    async with proxied(pair.primary.port) as proxy:
        pair.ports[0] = proxy.port
        yield proxy


def silent_primary(name: str, pair: Pair, fault: Callable[[Service], Awaitable[None]]) -> Scenario:
    """A primary that answers no more, and closes no connection either."""
    return Scenario(
        name=f"failover: {name}", store=pair, fault=fault, back_seconds=BACK_SECONDS, deadline=10
    )


async def test_a_primary_that_is_killed(pair: Pair, survives: Survives) -> None:
    async def fault(_: Service) -> None:
        await asyncio.to_thread(pair.primary.kill)
        await pair.promote()

    await survives(Scenario(name="failover: primary killed", store=pair, fault=fault))


async def test_a_primary_that_freezes(pair: Pair, survives: Survives) -> None:
    async def fault(_: Service) -> None:
        pair.primary.signal_all(signal.SIGSTOP)
        await asyncio.sleep(1)
        await pair.promote()

    await survives(silent_primary("primary frozen", pair, fault))


async def test_a_primary_behind_a_black_hole(pair: Pair, proxy: Proxy, survives: Survives) -> None:
    async def fault(_: Service) -> None:
        proxy.swallow()
        await asyncio.sleep(1)
        await pair.promote()

    await survives(silent_primary("primary in a black hole", pair, fault))


async def test_a_primary_that_comes_back_as_a_standby(pair: Pair, survives: Survives) -> None:
    """No connection stays on it, although it answers."""

    async def fault(_: Service) -> None:
        await asyncio.to_thread(pair.primary.stop)
        await pair.promote()
        await asyncio.to_thread(pair.primary.start_as_standby)
        await asyncio.sleep(2)  # The load goes on meanwhile, and could choose this server.
        end = time.monotonic() + BACK_SECONDS
        while await asyncio.to_thread(count_sessions, pair.primary):
            assert time.monotonic() < end

    await survives(Scenario(name="failover: primary comes back read-only", store=pair, fault=fault))


async def test_a_commit_that_reaches_no_standby_is_not_acknowledged(pair: Pair) -> None:
    """An operator cancels the wait. The server then warns, and confirms what only itself has.

    Readers of that server see such a change until the standby takes its place, so the histories
    are not linearizable. But no client was told that it was done.
    """

    async def fault(_: Service) -> None:
        await asyncio.to_thread(pair.standby.kill)
        for _round in range(20):
            await asyncio.to_thread(pair.primary.execute, CANCEL_WAITS)
            await asyncio.sleep(0.2)
        await asyncio.to_thread(pair.primary.kill)
        await asyncio.to_thread(pair.standby.start)
        await pair.promote()

    scenario = Scenario(name="failover: commits on the primary alone", store=pair, fault=fault)
    findings = await scenario.run()
    assert (findings.lost, findings.doubled, findings.errors) == (0, 0, 0)
