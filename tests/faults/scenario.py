"""A scenario: a service under load, a fault of its store, and what the record of it shows."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from asyncpg.exceptions import InterfaceError, PostgresError

from pets.bootstrap.stores import check_counts
from pets.settings import Settings
from tests.faults.findings import BACK_SECONDS, Findings, Row
from tests.faults.load import Load
from tests.faults.postgresql import CONNECTIONS_OF_A_PROCESS
from tests.faults.service import REQUEST_TIMEOUT, Service, served

STEADY_SECONDS: Final = 2.5
"""How long the load runs before the fault, and after the store's return."""

OUTAGE_SECONDS: Final = REQUEST_TIMEOUT + 3
"""How long a store is away. It is longer than the deadline of the requests."""

SAMPLE_SECONDS: Final = 0.25


class Store(Protocol):
    """What a service stores pets in."""

    @property
    def url(self) -> str:
        """What the service connects to."""
        ...

    @property
    def admin_url(self) -> str:
        """What connects to the store even if the service cannot."""
        ...

    async def rows(self) -> Sequence[Row]:
        """Return id, name and age of every pet, without the service."""
        ...

    async def connections(self) -> int:
        """Return how many connections the service has to the store."""
        ...


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A service with a store, and a fault, which returns as soon as the store is back.

    A fault that no request notices proves nothing, unless it is said not to hurt.
    The service is as before at most `back_seconds` after the fault.
    `module` is run as `pets` is. In faults of the service itself, so many requests may be
    `unanswered`, or nobody accepts connections because the service `goes_away`.
    """

    name: str
    store: Store
    fault: Callable[[Service], Awaitable[None]]
    workers: int = 2
    module: str = "pets"
    environment: Mapping[str, str] = field(default_factory=dict)
    hurts: bool = True
    deadline: int = REQUEST_TIMEOUT
    unanswered: float = 0
    goes_away: bool = False
    back_seconds: float = BACK_SECONDS

    async def run(self) -> Findings:
        """Let the service suffer the fault under load, and return what the record shows."""
        findings = Findings(self.name)
        environment = {"PETS_REQUEST_TIMEOUT": str(self.deadline), **self.environment}
        async with served(
            self.store.url, workers=self.workers, module=self.module, **environment
        ) as service:
            load = Load(service.port)
            sampling = asyncio.create_task(_most_connections(self.store))
            try:
                load.start()
                await asyncio.sleep(STEADY_SECONDS)
                before = service.usage()
                await self.fault(service)
                returned = time.monotonic()
                await asyncio.sleep(max(STEADY_SECONDS, self.back_seconds + 1))
                after = service.usage()
                await load.finish()
            finally:
                await load.cancel()
                sampling.cancel()
        findings.compare(load.record, await self.store.rows())
        findings.judge_answers(
            load.record,
            deadline=self.deadline,
            unanswered=self.unanswered,
            goes_away=self.goes_away,
        )
        findings.judge_return(load.record, returned, self.back_seconds)
        findings.judge_usage(before, after)
        is_hurt = any(each.status in {0, 503} for each in load.record.exchanges)
        findings.complain("no request noticed the fault", when=self.hurts and not is_hurt)
        await self._count(findings, await sampling)
        return findings

    async def _count(self, findings: Findings, most: int) -> None:
        wrong = await check_counts(Settings(database_url=self.store.admin_url), repair=False)
        findings.complain(f"counts are wrong: {wrong}", when=wrong)
        allowed = self.workers * CONNECTIONS_OF_A_PROCESS
        words = f"{most} connections to the store; {allowed} are allowed"
        findings.complain(words, when=most > allowed)


async def _most_connections(store: Store) -> int:
    """Return, when it is cancelled, how many connections there were at most."""
    most = 0
    with suppress(asyncio.CancelledError):
        while True:
            with suppress(OSError, PostgresError, InterfaceError):
                async with asyncio.timeout(1):
                    most = max(most, await store.connections())
            await asyncio.sleep(SAMPLE_SECONDS)
    return most
