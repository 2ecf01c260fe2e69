"""The lock on the table of pets that keeps writers out of it, for commands that need that."""

import asyncio
import logging
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg
from asyncpg.exceptions import LockNotAvailableError

_TRY_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 1.0

_CANCELLING_SECONDS: Final = 2.0
"""How long a try takes that has PostgreSQL cancel an autovacuum.

It cancels one that has kept another session waiting for `deadlock_timeout`, which is 1 s unless an
operator has changed it. Writers of this service wait for 2.7 s.
"""

_SAY_SECONDS: Final = 5.0

_LOCK: Final = """
    SET LOCAL lock_timeout = '{milliseconds:.0f}ms';
    LOCK TABLE pets IN SHARE ROW EXCLUSIVE MODE;
    SET LOCAL lock_timeout = 0;
"""
# Without this, a transaction sees the sessions as they were when it first asked for them.
_LOOK_AGAIN: Final = "SELECT pg_stat_clear_snapshot()"
# A role that may not see what another one's session does sees at least its user. An autovacuum has
# none. A prepared transaction has no process.
_HOLDERS: Final = """
    SELECT DISTINCT pid, pid IS NOT NULL AND usesysid IS NULL AS is_autovacuum, usename, state,
        round(extract(epoch FROM clock_timestamp() - xact_start)) AS seconds,
        nullif(query, '<insufficient privilege>') AS query
    FROM pg_locks LEFT JOIN pg_stat_activity AS session USING (pid)
    WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND relation = 'pets'::regclass AND granted
        AND mode NOT IN ('AccessShareLock', 'RowShareLock')
        AND pid IS DISTINCT FROM pg_backend_pid()
    ORDER BY seconds DESC NULLS LAST
"""

logger = logging.getLogger(__name__)


async def lock_against_writers(driver: asyncpg.Connection) -> None:
    """Wait for the open transactions that write pets, and hardly hold up other writers.

    A request for a lock holds up every later writer while it waits. So it waits in short tries,
    and in one longer try for each autovacuum. Every few seconds a warning says what it waits for.
    """
    seconds = _TRY_SECONDS
    cancelled: set[int] = set()
    say_again = 0.0
    while not await _try_to_lock(driver, seconds):
        await driver.execute(_LOOK_AGAIN)
        holders = await driver.fetch(_HOLDERS)
        if holders and time.monotonic() >= say_again:
            say_again = time.monotonic() + _SAY_SECONDS
            logger.warning("waiting to lock the table of pets: %s", _described(holders))
        new = {holder["pid"] for holder in holders if holder["is_autovacuum"]} - cancelled
        seconds = _CANCELLING_SECONDS if new else _TRY_SECONDS
        cancelled |= new
        await asyncio.sleep(_PAUSE_SECONDS)


async def _try_to_lock(driver: asyncpg.Connection, seconds: float) -> bool:
    try:
        # A savepoint, because a try that fails is an error.
        async with driver.transaction():
            await driver.execute(_LOCK.format(milliseconds=1000 * seconds))
    except LockNotAvailableError:
        return False
    return True


def _described(holders: Sequence[Mapping[str, object]]) -> str:
    """Say of the oldest transaction what it is, and how many others there are."""
    oldest = holders[0]
    if oldest["pid"] is None:
        parts = ["a prepared transaction"]
    elif oldest["is_autovacuum"]:
        parts = [f"autovacuum, process {oldest['pid']}"]
    else:
        parts = [f"process {oldest['pid']} of {oldest['usename']}"]
    if oldest["state"]:
        parts.append(str(oldest["state"]))
    if oldest["seconds"] is not None:
        parts.append(f"for {oldest['seconds']} s")
    if oldest["query"]:
        parts.append(textwrap.shorten(str(oldest["query"]), 80, placeholder=" …"))
    if len(holders) > 1:
        parts.append(f"and {len(holders) - 1} more")
    return ", ".join(parts)
