"""Any number of pets into a store at once. Where ids must be checked first, they are staged in a temporary table."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Final

import aiosqlite
import asyncpg
from asyncpg.exceptions import LockNotAvailableError, UniqueViolationError

from pets.adapters.sqlalchemy.dialects import NEW
from pets.domain.pet import NewPet, Pet

Numbered = Sequence[tuple[int, NewPet | Pet]]

_REFUSED: Final = """
    SELECT number
    FROM (
        SELECT number, id, row_number() OVER (PARTITION BY id ORDER BY number) AS nth
        FROM staged WHERE id IS NOT NULL
    ) AS s
    WHERE nth > 1 OR EXISTS (SELECT 1 FROM pets WHERE pets.id = s.id)
    ORDER BY number
"""
_KEEP: Final = """
    INSERT INTO pets (id, name, age, type, created_at) {overriding}
    SELECT id, name, age, type, created_at FROM staged WHERE id IS NOT NULL {refusing}
"""
_REFUSING: Final = "ORDER BY id, number ON CONFLICT (id) DO NOTHING"
_ADD: Final = """
    INSERT INTO pets (name, age, type, created_at)
    SELECT name, age, type, created_at FROM staged WHERE id IS NULL ORDER BY staged.rowid
"""
_GO_ON: Final = """
    SELECT setval(sequence, greatest(pg_sequence_last_value(sequence), (SELECT max(id) FROM staged)))
    FROM CAST(pg_get_serial_sequence('pets', 'id') AS regclass) AS sequence
"""

SQLITE_CACHE_KIB: Final = 64 * 1024
"""How much of the indexes SQLite keeps in memory at the end of an import.

With its usual 2 MiB it writes the same pages again and again, and takes twice as long.
"""
_LOCK: Final = """
    SET LOCAL lock_timeout = '100ms';
    LOCK TABLE pets IN SHARE ROW EXCLUSIVE MODE;
    SET LOCAL lock_timeout = 0;
"""
_PAUSE: Final = 1.0
"""Seconds between two tries to get the lock."""

# By the drivers' own connections, since SQLAlchemy gives up one of its own when a call is cancelled.


async def _load_into_postgresql(
    driver: asyncpg.Connection, pets: AsyncIterable[Numbered], *, skip_taken: bool
) -> Sequence[int]:
    transaction = driver.transaction()
    await transaction.start()
    try:
        chunks = aiter(pets)
        first: Numbered = ()
        with suppress(StopAsyncIteration):
            first = await anext(chunks)
        if first and isinstance(first[0][1], Pet):
            refused = await _keep_ids(driver, first, chunks, skip_taken=skip_taken)
        else:
            # One statement, so that the counts are locked at its end alone; its indexes grow while the next are read.
            async with aclosing(_text(first, chunks, _values)) as text:
                await driver.copy_to_table("pets", source=text, columns=list(NEW))
            refused = ()
    except BaseException:
        if not driver.is_closed():  # Otherwise this would fail too, and hide the reason.
            await transaction.rollback()
        raise
    await _finish(transaction.commit())
    return refused


async def _keep_ids(
    driver: asyncpg.Connection,
    first: Numbered,
    chunks: AsyncIterable[Numbered],
    *,
    skip_taken: bool,
) -> Sequence[int]:
    await driver.execute(
        "CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT id AS number, * FROM pets WHERE false"
    )
    async with aclosing(_text(first, chunks, _staged_values)) as text:
        await driver.copy_to_table("staged", source=text)
    # Writers wait from here to the commit, readers do not: nobody takes an id, given or from the sequence.
    await _lock_against_writers(driver)
    refused: list[int] = []
    try:
        async with driver.transaction():
            await driver.execute(_KEEP.format(overriding="OVERRIDING SYSTEM VALUE", refusing=""))
    except UniqueViolationError:
        refused = [number for (number,) in await driver.fetch(_REFUSED)]
        if not skip_taken:
            return refused
        await driver.execute(_KEEP.format(overriding="OVERRIDING SYSTEM VALUE", refusing=_REFUSING))
    await driver.execute(_GO_ON)
    return refused


async def _lock_against_writers(driver: asyncpg.Connection) -> None:
    """Wait for the open transactions that write pets, and hardly keep other writers waiting.

    A request for a lock holds up every later writer while it waits, so it waits in short tries.
    """
    while True:
        try:
            async with driver.transaction():  # a savepoint, because a try that fails is an error
                await driver.execute(_LOCK)
        except LockNotAvailableError:
            await asyncio.sleep(_PAUSE)
        else:
            return


async def _text(
    first: Numbered, chunks: AsyncIterable[Numbered], write: Callable[[int, NewPet | Pet], str]
) -> AsyncGenerator[bytes, None]:
    """Give pets as COPY reads them."""
    yield "".join(write(*numbered) for numbered in first).encode()
    async for some in chunks:
        yield "".join(write(*numbered) for numbered in some).encode()


def _values(_: int, pet: NewPet | Pet) -> str:
    name = pet.name.replace(
        "\\", "\\\\"
    )  # all that must be escaped, for it has no control characters
    return f"{name}\t{pet.age}\t{pet.type}\t{pet.created_at}\n"


def _staged_values(number: int, pet: NewPet | Pet) -> str:
    assert isinstance(pet, Pet)
    return f"{number}\t{pet.id}\t{_values(number, pet)}"


async def _load_into_sqlite(
    driver: aiosqlite.Connection, pets: AsyncIterable[Numbered], *, skip_taken: bool
) -> Sequence[int]:
    try:
        await driver.execute(
            "CREATE TEMPORARY TABLE staged AS SELECT id AS number, * FROM pets WHERE false"
        )
        async for some in pets:
            rows = [
                (
                    number,
                    pet.id if isinstance(pet, Pet) else None,
                    pet.name,
                    pet.age,
                    pet.type,
                    str(pet.created_at)[:19],
                )
                for number, pet in some
            ]
            await driver.execute("BEGIN")  # of what is staged alone, which nobody waits for
            await driver.executemany("INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?)", rows)
            await driver.execute("COMMIT")
        # Writers wait from here to the commit, readers do not.
        await driver.execute(f"PRAGMA cache_size = -{SQLITE_CACHE_KIB}")
        await driver.execute("BEGIN IMMEDIATE")
        refused = [number async for (number,) in await driver.execute(_REFUSED)]
        if skip_taken or not refused:
            await driver.execute(_KEEP.format(overriding="", refusing=_REFUSING))
            await driver.execute(_ADD)
        await _finish(driver.execute("COMMIT"))
    finally:
        await driver.interrupt()  # a call that was cancelled runs on in its thread
        await driver.rollback()
        await driver.execute("DROP TABLE IF EXISTS temp.staged")
    return refused


async def _finish(commit: Awaitable[object]) -> None:
    """Bring a commit to its end even if cancelled: nobody must be told that nothing was kept when all was."""
    task = asyncio.ensure_future(commit)
    with suppress(asyncio.CancelledError):
        await asyncio.shield(task)
    await task


LOAD: Final[Mapping[str, Callable[..., Awaitable[Sequence[int]]]]] = {
    "postgresql": _load_into_postgresql,
    "sqlite": _load_into_sqlite,
}
