"""Several PostgreSQL servers, of which one takes changes: how it is found, and found again.

asyncpg tries one host after the other within one limit of time, so a dead host takes it all
(https://github.com/MagicStack/asyncpg/issues/1155). And a statement waits as long as it may for a
server that has become silent, although another one may have taken its place.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

import asyncpg
from asyncpg.exceptions import ClientConfigurationError, PostgresError

from pets.adapters.sqlalchemy.failures import FAILURES

HOST_SECONDS: Final = 2
"""How long a host may take to answer, to a new connection or to the question whether it is well."""

WATCH_SECONDS: Final = 1
"""The time between two such questions."""

SEARCH_SECONDS: Final = 0.2
"""The time between two searches for a server that takes changes."""

logger = logging.getLogger(__name__)

Address = tuple[str, int]
Found = tuple[Address, asyncpg.Connection]


class Primary:
    """The one of several servers that takes changes, and the connections to all of them."""

    def __init__(self) -> None:
        self._options: dict[str, Any] = {}  # Any: they are asyncpg's.
        self._addresses: WeakKeyDictionary[asyncpg.Connection, Address] = WeakKeyDictionary()

    async def connect(self, **options: Any) -> asyncpg.Connection:  # Any: they are asyncpg's.
        """Connect as `asyncpg.connect` does. But ask all hosts at once, if there are several.

        Each has HOST_SECONDS. Raises one of the `FAILURES`.
        """
        self._options = options
        try:
            if not isinstance(options.get("host"), list):
                only: asyncpg.Connection = await asyncpg.connect(**options)
                return only
            address, driver = await _connect_to_first(options)
        except FAILURES:
            raise
        except Exception as error:
            # asyncpg, Python and the system raise all kinds of errors for names, files and
            # variables that cannot work.
            raise ClientConfigurationError(str(error) or type(error).__name__) from error
        self._addresses[driver] = address
        return driver

    async def watch(self) -> None:
        """Look for the primary again when it is silent or takes no changes, until cancelled.

        The connections to any other server are closed then. What waits on them fails at once.
        """
        while True:
            with suppress(*FAILURES):
                if self._options:
                    await self._watch_one()
            await asyncio.sleep(SEARCH_SECONDS)

    async def _watch_one(self) -> None:
        address, driver = await _connect_to_first(self._options)
        try:
            self._close_others(address)
            is_primary = True
            while is_primary:
                await asyncio.sleep(WATCH_SECONDS)
                is_primary = await _takes_changes(driver)
        finally:
            driver.terminate()

    def _close_others(self, primary: Address) -> None:
        others = [driver for driver, address in self._addresses.items() if address != primary]
        lost = [driver for driver in others if not driver.is_closed()]
        for driver in lost:
            driver.terminate()
        if lost:
            logger.warning("The database is now %s:%d. %d connections moved.", *primary, len(lost))


async def _connect_to_first(options: dict[str, Any]) -> Found:  # Any: as above.
    """Return the first server that takes changes, and a connection to it."""
    if options.get("target_session_attrs", "any") == "any":
        options = options | {"target_session_attrs": "read-write"}
    options = options | {"timeout": min(HOST_SECONDS, options.get("timeout", HOST_SECONDS))}
    tries: set[asyncio.Task[Found]] = set()
    for address in zip(options["host"], options["port"], strict=True):
        tries.add(asyncio.create_task(_connect_to(address, options)))
    winner = None
    try:
        winner = await _first_success(tries)
    finally:
        for each in tries:
            if each is not winner:
                each.cancel()
                each.add_done_callback(_close_late)
    return winner.result()


async def _connect_to(address: Address, options: dict[str, Any]) -> Found:  # Any: as above.
    host, port = address
    options = options | {"host": host, "port": port}
    return address, await asyncpg.connect(**options)


async def _first_success(tries: Collection[asyncio.Task[Found]]) -> asyncio.Task[Found]:
    errors: list[BaseException] = []
    while tries:
        done, tries = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            error = each.exception()
            if error is None:
                return each
            errors.append(error)
    # What a server says tells more than that another one is away.
    errors.sort(key=lambda error: not isinstance(error, PostgresError))
    raise errors[0]


def _close_late(late: asyncio.Task[Found]) -> None:
    if not late.cancelled() and not late.exception():
        late.result()[1].terminate()


async def _takes_changes(driver: asyncpg.Connection) -> bool:
    async with asyncio.timeout(HOST_SECONDS):
        answer: bool = await driver.fetchval("SELECT NOT pg_is_in_recovery()")
    return answer
