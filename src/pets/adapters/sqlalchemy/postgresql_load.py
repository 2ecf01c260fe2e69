"""Loading any number of pets into PostgreSQL with COPY."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC
from typing import Final

import asyncpg
from asyncpg.exceptions import UniqueViolationError

from pets.adapters.sqlalchemy.commit import transaction
from pets.adapters.sqlalchemy.postgresql_lock import lock_against_writers
from pets.adapters.sqlalchemy.statements import REFUSED
from pets.domain.pet import NewPet, Pet
from pets.domain.repository import Numbered

_STAGE: Final = """
    CREATE TEMPORARY TABLE staged ON COMMIT DROP AS
    SELECT id AS number, id, name, age, type, created_at FROM pets LIMIT 0
"""
_KEEP: Final = """
    INSERT INTO pets (id, name, age, type, created_at) OVERRIDING SYSTEM VALUE
    SELECT id, name, age, type, created_at FROM staged
"""
_KEEP_FIRST: Final = f"{_KEEP} ORDER BY id, number ON CONFLICT (id) DO NOTHING"
# A sequence that was set but not used since (RESTART WITH) has no last value. Its next value is
# taken then, which needs no further right, and leaves out one id.
_RAISE_SEQUENCE: Final = """
    SELECT setval(
        sequence, greatest(coalesce(pg_sequence_last_value(sequence), nextval(sequence)), $1)
    )
    FROM CAST(pg_get_serial_sequence('pets', 'id') AS regclass) AS sequence
"""


async def load(
    driver: asyncpg.Connection,
    pets: AsyncIterable[Numbered],
    *,
    skip_taken: bool,
    last_id: Callable[[], int],
) -> Sequence[int]:
    """Do what `PetRepository.load` promises.

    It uses the driver's connection, because SQLAlchemy gives up its own when a call is cancelled.
    """
    async with transaction(driver):
        chunks = aiter(pets)
        first = await _next(chunks)
        async with aclosing(_records(first, chunks)) as records:
            if first and isinstance(first[0][1], Pet):
                return await _load_kept(driver, records, last_id, skip_taken=skip_taken)
            # One statement locks the counts only at its end, and the indexes grow while the next
            # pets are read.
            columns = ["name", "age", "type", "created_at"]
            await driver.copy_records_to_table("pets", records=records, columns=columns)
        if last_id():
            await lock_against_writers(driver)
            await raise_sequence(driver, last_id())
        return ()


async def _load_kept(
    driver: asyncpg.Connection,
    records: AsyncIterable[Sequence[object]],
    last_id: Callable[[], int],
    *,
    skip_taken: bool,
) -> Sequence[int]:
    """Load pets that keep their ids, and return the numbers of those refused."""
    await driver.execute(_STAGE)
    columns = ["number", "id", "name", "age", "type", "created_at"]
    await driver.copy_records_to_table("staged", records=records, columns=columns)
    # From here to the commit writers wait, so that nobody else takes an id. Readers do not wait.
    await lock_against_writers(driver)
    refused: list[int] = []
    try:
        async with driver.transaction():
            await driver.execute(_KEEP)
    except UniqueViolationError:
        refused = [number for (number,) in await driver.fetch(REFUSED)]
        if not skip_taken:
            return refused
        await driver.execute(_KEEP_FIRST)
    highest = await driver.fetchval("SELECT max(id) FROM staged")
    await raise_sequence(driver, max(highest, last_id()))
    return refused


async def raise_sequence(driver: asyncpg.Connection, id_: int) -> None:
    """Let no id up to this one be given. No other writer may be at work."""
    await driver.execute(_RAISE_SEQUENCE, id_)


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
    # The driver would take a time without a zone for one in the time zone of this machine.
    created_at = pet.created_at.replace(tzinfo=UTC)
    if isinstance(pet, Pet):
        return number, pet.id, pet.name, pet.age, pet.type, created_at
    return pet.name, pet.age, pet.type, created_at
