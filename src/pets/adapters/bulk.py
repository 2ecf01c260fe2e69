"""Any number of pets into a store at once: staged in a table of the connection's own, then kept by one statement."""

import asyncio
from array import array
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from pets.domain.pet import NewPet, Pet

Numbered = Sequence[tuple[int, NewPet | Pet]]

_REFUSED: Final = """
    SELECT number FROM (SELECT number, id, row_number() OVER (PARTITION BY id ORDER BY number) AS nth FROM staged) AS s
    WHERE id IS NOT NULL AND (nth > 1 OR EXISTS (SELECT 1 FROM pets WHERE pets.id = s.id))
    ORDER BY number
"""
_KEEP: Final = """
    INSERT INTO pets (id, name, age, type, created_at) {overriding}
    SELECT id, name, age, type, created_at FROM staged WHERE id IS NOT NULL
    ORDER BY id, number ON CONFLICT (id) DO NOTHING
"""
_ADD: Final = """
    INSERT INTO pets (name, age, type, created_at)
    SELECT name, age, type, created_at FROM staged WHERE id IS NULL ORDER BY number
"""
_GO_ON_FROM: Final = """
    SELECT setval(sequence, greatest(pg_sequence_last_value(sequence), $1))
    FROM CAST(pg_get_serial_sequence('pets', 'id') AS regclass) AS sequence
"""


def _row(number: int, pet: NewPet | Pet) -> tuple[int, int | None, str, int, str, datetime]:
    return number, pet.id if isinstance(pet, Pet) else None, pet.name, pet.age, pet.type, pet.created_at


# Any: a connection of asyncpg, or of aiosqlite. SQLAlchemy gives up a connection of its own when a call is cancelled.


async def _load_into_postgresql(driver: Any, pets: AsyncIterable[Numbered], *, skip_taken: bool) -> Sequence[int]:
    refused = array("q")
    transaction = driver.transaction()
    await transaction.start()
    try:
        await driver.execute(
            "CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT id AS number, * FROM pets WHERE false"
        )
        async for some in pets:
            await driver.copy_records_to_table("staged", records=[_row(*numbered) for numbered in some])
        last_id = await driver.fetchval("SELECT max(id) FROM staged")
        if last_id is not None:
            # Writers wait from here to the commit, readers do not: nobody takes an id, given or from the sequence.
            await driver.execute("LOCK TABLE pets IN SHARE ROW EXCLUSIVE MODE")
            async for row in driver.cursor(_REFUSED, prefetch=1000):
                refused.append(row[0])
        if skip_taken or not refused:
            if last_id is not None:
                await driver.execute(_KEEP.format(overriding="OVERRIDING SYSTEM VALUE"))
                await driver.execute(_GO_ON_FROM, last_id)
            await driver.execute(_ADD)
    except BaseException:
        await transaction.rollback()
        raise
    await _finish(transaction.commit())
    return refused


async def _load_into_sqlite(driver: Any, pets: AsyncIterable[Numbered], *, skip_taken: bool) -> Sequence[int]:
    refused = array("q")
    try:
        await driver.execute("CREATE TEMPORARY TABLE staged AS SELECT id AS number, * FROM pets WHERE false")
        async for some in pets:
            rows = [(*row, str(created_at)[:19]) for *row, created_at in (_row(*numbered) for numbered in some)]
            await driver.execute("BEGIN")  # of what is staged alone, which nobody waits for
            await driver.executemany("INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?)", rows)
            await driver.execute("COMMIT")
        await driver.execute("BEGIN IMMEDIATE")
        async for row in await driver.execute(_REFUSED):
            refused.append(row[0])
        if skip_taken or not refused:
            await driver.execute(_KEEP.format(overriding=""))
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
