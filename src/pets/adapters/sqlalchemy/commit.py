"""Transactions that finish their commit even when the call that makes it is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

import asyncpg

from pets.domain.errors import OutcomeUnknown


async def finish(commit: Awaitable[object]) -> None:
    """Wait for the commit however often cancelled, because it must not be reported as not done.

    Raises `OutcomeUnknown` if the loop ends before.
    """
    task = asyncio.ensure_future(commit)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    if task.cancelled():
        raise OutcomeUnknown("The commit was cut off.")
    task.result()


@asynccontextmanager
async def transaction(driver: asyncpg.Connection) -> AsyncIterator[None]:
    """Run the statements of the block as one transaction of PostgreSQL."""
    transaction = driver.transaction()
    await transaction.start()
    try:
        yield
    except BaseException:
        # On a closed connection a rollback would fail too, and hide the reason.
        if not driver.is_closed():
            await transaction.rollback()
        raise
    await finish(transaction.commit())
