"""What commands do to PostgreSQL while writers wait: the lock that keeps them out, and COPY."""

import asyncio
import logging
import textwrap
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from datetime import UTC
from typing import Final

import asyncpg
from asyncpg.exceptions import LockNotAvailableError, UniqueViolationError
from sqlalchemy import func, select
from sqlalchemy.schema import CreateTable

from pets.adapters.sqlalchemy.models import TimeWithZone, pets
from pets.adapters.sqlalchemy.postgresql_statements import RAISE_IDS, KeepingIds
from pets.adapters.sqlalchemy.sessions import fetch, finish
from pets.adapters.sqlalchemy.statements import MEMBERS, PET, REFUSED, STAGED, members_of
from pets.domain.pet import NewPet, Pet
from pets.domain.repository import Numbered

logger = logging.getLogger(__name__)

_COLUMNS: Final = [column.name for column in MEMBERS]
_TIMES: Final = [
    index for index, column in enumerate(MEMBERS) if isinstance(column.type, TimeWithZone)
]
_STAGED_COLUMNS: Final = [column.name for column in STAGED.c]

_CREATE_STAGED: Final = CreateTable(STAGED)
_staged_pets: Final = select(*(STAGED.c[column.name] for column in PET))
_ADD_STAGED: Final = KeepingIds(pets).from_select(PET, _staged_pets)
_ADD_FIRST_OF_EACH_ID: Final = (
    KeepingIds(pets)
    .from_select(PET, _staged_pets.order_by(STAGED.c.id, STAGED.c.number))
    .on_conflict_do_nothing(index_elements=[pets.c.id])
)
_HIGHEST_STAGED_ID: Final = select(func.max(STAGED.c.id).label("highest"))


async def load(
    driver: asyncpg.Connection,
    loaded: AsyncIterable[Numbered],
    *,
    skip_taken: bool,
    last_id: Callable[[], int],
) -> Sequence[int]:
    """Do what `PetRepository.load` promises.

    It uses the driver's connection, because SQLAlchemy gives up its own when a call is cancelled.
    """
    async with transaction(driver):
        chunks = aiter(loaded)
        first = await _next(chunks)
        async with aclosing(_records(first, chunks)) as records:
            if first and isinstance(first[0][1], Pet):
                return await _load_kept(driver, records, last_id, skip_taken=skip_taken)
            # One statement locks the counts only at its end, and the indexes grow while the next
            # pets are read.
            await driver.copy_records_to_table(pets.name, records=records, columns=_COLUMNS)
        if last_id():
            await lock_against_writers(driver)
            await fetch(driver, RAISE_IDS, {"id": last_id()})
        return ()


async def _load_kept(
    driver: asyncpg.Connection,
    records: AsyncIterable[Sequence[object]],
    last_id: Callable[[], int],
    *,
    skip_taken: bool,
) -> Sequence[int]:
    """Load pets that keep their ids, and return the numbers of those refused."""
    await fetch(driver, _CREATE_STAGED)
    await driver.copy_records_to_table(STAGED.name, records=records, columns=_STAGED_COLUMNS)
    # From here to the commit writers wait, so that nobody else takes an id. Readers do not wait.
    await lock_against_writers(driver)
    refused: list[int] = []
    try:
        async with driver.transaction():
            await fetch(driver, _ADD_STAGED)
    except UniqueViolationError:
        refused = [row["number"] for row in await fetch(driver, REFUSED)]
        if not skip_taken:
            return refused
        await fetch(driver, _ADD_FIRST_OF_EACH_ID)
    (staged,) = await fetch(driver, _HIGHEST_STAGED_ID)
    await fetch(driver, RAISE_IDS, {"id": max(staged["highest"], last_id())})
    return refused


async def _next(chunks: AsyncIterator[Numbered]) -> Numbered:
    async for chunk in chunks:
        return chunk
    return []


async def _records(
    first: Numbered, chunks: AsyncIterator[Numbered]
) -> AsyncGenerator[Sequence[object], None]:
    """Yield pets as COPY takes them. Those with an id begin with their number and their id."""
    for number, pet in first:
        yield _record(number, pet)
    async for chunk in chunks:
        for number, pet in chunk:
            yield _record(number, pet)


def _record(number: int, pet: NewPet | Pet) -> Sequence[object]:
    members = list(members_of(pet))
    for index in _TIMES:
        # The driver would take a time without a zone for one in the time zone of this machine.
        if members[index] is not None:
            members[index] = members[index].replace(tzinfo=UTC)
    return [number, pet.id, *members] if isinstance(pet, Pet) else members


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
_FORGET_SNAPSHOT: Final = "SELECT pg_stat_clear_snapshot()"
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


async def lock_against_writers(driver: asyncpg.Connection) -> None:
    """Wait for the open transactions that write pets, and hardly hold up other writers.

    A request for a lock holds up every later writer while it waits. So it waits in short tries,
    and in one longer try for each autovacuum. Every few seconds a warning says what it waits for.
    """
    seconds = _TRY_SECONDS
    cancelled: set[int] = set()
    say_again = 0.0
    while not await _try_to_lock(driver, seconds):
        await driver.execute(_FORGET_SNAPSHOT)
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
