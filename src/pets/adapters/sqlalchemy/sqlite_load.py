"""Loading any number of pets into SQLite."""

from collections.abc import AsyncIterable, Callable, Sequence
from datetime import datetime
from typing import Final

import aiosqlite
from sqlalchemy import Executable, bindparam, literal_column, select, update
from sqlalchemy.dialects.sqlite import aiosqlite as dialect
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.schema import CreateTable, DropTable

from pets.adapters.sqlalchemy.listing import ZERO
from pets.adapters.sqlalchemy.models import pets
from pets.adapters.sqlalchemy.sessions import finish
from pets.adapters.sqlalchemy.sqlite_statements import IS_OF_PETS, SEQUENCES
from pets.adapters.sqlalchemy.statements import (
    MEMBERS,
    PET,
    REFUSED,
    STAGED,
    Parameters,
    compiled,
    members_of,
)
from pets.domain.pet import Pet
from pets.domain.repository import Numbered

CACHE_KIB: Final = 64 * 1024
"""How much of the indexes SQLite keeps in memory at the end of a load.

With its usual 2 MiB it writes the same pages again and again, and takes twice as long.
"""

_DIALECT: Final = dialect.dialect()

_CREATE_STAGED: Final = CreateTable(STAGED)
_FILL_STAGED: Final = insert(STAGED)
_DROP_STAGED: Final = DropTable(STAGED, if_exists=True)
_keeps_id: Final = STAGED.c.id.is_not(None)
_ADD_WITH_IDS: Final = (
    insert(pets)
    .from_select(
        PET,
        select(*(STAGED.c[column.name] for column in PET))
        .where(_keeps_id)
        .order_by(STAGED.c.id, STAGED.c.number),
    )
    .on_conflict_do_nothing(index_elements=[pets.c.id])
)
_ADD_WITHOUT_IDS: Final = insert(pets).from_select(
    MEMBERS,
    select(*(STAGED.c[column.name] for column in MEMBERS))
    .where(~_keeps_id)
    .order_by(STAGED.c.number),
)


_sequences: Final = SEQUENCES.c
_has_sequence: Final = select(SEQUENCES).where(IS_OF_PETS).exists()
_BEGIN_SEQUENCE: Final = insert(SEQUENCES).from_select(
    [_sequences.name, _sequences.seq], select(literal_column("'pets'"), ZERO).where(~_has_sequence)
)
_RAISE_SEQUENCE: Final = (
    update(SEQUENCES)
    .values(seq=bindparam("id"))
    .where(IS_OF_PETS, _sequences.seq < bindparam("id"))
)


async def load(
    driver: aiosqlite.Connection,
    loaded: AsyncIterable[Numbered],
    *,
    skip_taken: bool,
    last_id: Callable[[], int],
) -> Sequence[int]:
    """Do what `PetRepository.load` promises.

    It uses the driver's connection, because SQLAlchemy gives up its own when a call is cancelled.
    """
    try:
        await _stage(driver, loaded)
        # From here to the commit writers wait. Readers do not.
        await driver.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        await driver.execute("BEGIN IMMEDIATE")
        refused = [number async for (number,) in await _run(driver, REFUSED)]
        if skip_taken or not refused:
            await _run(driver, _ADD_WITH_IDS)
            await raise_sequence(driver, last_id())
            await _run(driver, _ADD_WITHOUT_IDS)
        await finish(driver.execute("COMMIT"))
    finally:
        # A call that is cancelled now may have been committed.
        await finish(_clean_up(driver))
    return refused


async def _clean_up(driver: aiosqlite.Connection) -> None:
    # The statement of a call that was cancelled is still running in the driver's thread.
    await driver.interrupt()
    await driver.rollback()
    await _run(driver, _DROP_STAGED)


async def raise_sequence(driver: aiosqlite.Connection, id_: int) -> None:
    """Let no id up to this one be given. It must be within a transaction."""
    await _run(driver, _BEGIN_SEQUENCE)
    await _run(driver, _RAISE_SEQUENCE, {"id": id_})


async def _run(
    driver: aiosqlite.Connection, statement: Executable, parameters: Parameters | None = None
) -> aiosqlite.Cursor:
    sql, names = compiled(statement, _DIALECT)
    return await driver.execute(sql, [parameters[name] for name in names] if parameters else ())


async def _stage(driver: aiosqlite.Connection, loaded: AsyncIterable[Numbered]) -> None:
    """Put pets into a temporary table, because their ids can only be checked when all are read."""
    await _run(driver, _CREATE_STAGED)
    fill, _ = compiled(_FILL_STAGED, _DIALECT)
    async for chunk in loaded:
        rows = []
        for number, pet in chunk:
            id_ = pet.id if isinstance(pet, Pet) else None
            rows.append((number, id_, *map(_as_text, members_of(pet))))
        # The transaction writes to the temporary table alone, so nobody waits for it.
        await driver.execute("BEGIN")
        await driver.executemany(fill, rows)
        await driver.execute("COMMIT")


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, datetime) else value
