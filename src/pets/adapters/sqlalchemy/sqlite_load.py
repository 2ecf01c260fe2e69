"""Loading any number of pets into SQLite."""

from collections.abc import AsyncIterable, Callable, Sequence
from typing import Final

import aiosqlite

from pets.adapters.sqlalchemy.commit import finish
from pets.adapters.sqlalchemy.statements import REFUSED
from pets.domain.pet import Pet
from pets.domain.repository import Numbered

CACHE_KIB: Final = 64 * 1024
"""How much of the indexes SQLite keeps in memory at the end of a load.

With its usual 2 MiB it writes the same pages again and again, and takes twice as long.
"""

_KEEP: Final = """
    INSERT INTO pets (id, name, age, type, created_at)
    SELECT id, name, age, type, created_at FROM staged WHERE id IS NOT NULL
    ORDER BY id, number ON CONFLICT (id) DO NOTHING
"""
_STAGE: Final = """
    INSERT INTO staged (number, id, name, age, type, created_at) VALUES (?, ?, ?, ?, ?, ?)
"""
_RAISE_SEQUENCE: Final = (
    """
    INSERT INTO sqlite_sequence (name, seq)
    SELECT 'pets', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'pets')
    """,
    "UPDATE sqlite_sequence SET seq = :id WHERE name = 'pets' AND seq < :id",
)
_KEEP_NEW: Final = """
    INSERT INTO pets (name, age, type, created_at)
    SELECT name, age, type, created_at FROM staged WHERE id IS NULL ORDER BY staged.rowid
"""


async def load(
    driver: aiosqlite.Connection,
    pets: AsyncIterable[Numbered],
    *,
    skip_taken: bool,
    last_id: Callable[[], int],
) -> Sequence[int]:
    """Do what `PetRepository.load` promises.

    It uses the driver's connection, because SQLAlchemy gives up its own when a call is cancelled.
    """
    try:
        await _stage(driver, pets)
        # From here to the commit writers wait. Readers do not.
        await driver.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        await driver.execute("BEGIN IMMEDIATE")
        refused = [number async for (number,) in await driver.execute(REFUSED)]
        if skip_taken or not refused:
            await driver.execute(_KEEP)
            await raise_sequence(driver, last_id())
            await driver.execute(_KEEP_NEW)
        await finish(driver.execute("COMMIT"))
    finally:
        # A call that is cancelled now may have been committed.
        await finish(_clean_up(driver))
    return refused


async def _clean_up(driver: aiosqlite.Connection) -> None:
    # The statement of a call that was cancelled is still running in the driver's thread.
    await driver.interrupt()
    await driver.rollback()
    await driver.execute("DROP TABLE IF EXISTS temp.staged")


async def raise_sequence(driver: aiosqlite.Connection, id_: int) -> None:
    """Let no id up to this one be given. It must be within a transaction."""
    for statement in _RAISE_SEQUENCE:
        await driver.execute(statement, {"id": id_})


async def _stage(driver: aiosqlite.Connection, pets: AsyncIterable[Numbered]) -> None:
    """Put pets into a temporary table, because their ids can only be checked when all are read."""
    await driver.execute(
        "CREATE TEMPORARY TABLE staged AS"
        " SELECT id AS number, id, name, age, type, created_at FROM pets LIMIT 0"
    )
    async for chunk in pets:
        rows = []
        for number, pet in chunk:
            id_ = pet.id if isinstance(pet, Pet) else None
            rows.append((number, id_, pet.name, pet.age, pet.type, str(pet.created_at)))
        # The transaction writes to the temporary table alone, so nobody waits for it.
        await driver.execute("BEGIN")
        await driver.executemany(_STAGE, rows)
        await driver.execute("COMMIT")
