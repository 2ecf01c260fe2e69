"""Loading any number of pets into PostgreSQL with COPY."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

import asyncpg
from asyncpg.exceptions import UniqueViolationError
from sqlalchemy import func, select
from sqlalchemy.schema import CreateTable

from pets.adapters.sqlalchemy.commit import transaction
from pets.adapters.sqlalchemy.driver import fetch
from pets.adapters.sqlalchemy.models import pets
from pets.adapters.sqlalchemy.postgresql_lock import lock_against_writers
from pets.adapters.sqlalchemy.postgresql_statements import RAISE_IDS, KeepingIds
from pets.adapters.sqlalchemy.statements import MEMBERS, PET, REFUSED, STAGED, members_of
from pets.domain.pet import NewPet, Pet
from pets.domain.repository import Numbered

_COLUMNS: Final = [column.name for column in MEMBERS]
_STAGED_COLUMNS: Final = [column.name for column in STAGED.c]

_STAGE: Final = CreateTable(STAGED)
_staged_pets: Final = select(*(STAGED.c[column.name] for column in PET))
_KEEP: Final = KeepingIds(pets).from_select(PET, _staged_pets)
_KEEP_FIRST: Final = (
    KeepingIds(pets)
    .from_select(PET, _staged_pets.order_by(STAGED.c.id, STAGED.c.number))
    .on_conflict_do_nothing(index_elements=[pets.c.id])
)
_HIGHEST: Final = select(func.max(STAGED.c.id).label("highest"))


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
    await fetch(driver, _STAGE)
    await driver.copy_records_to_table(STAGED.name, records=records, columns=_STAGED_COLUMNS)
    # From here to the commit writers wait, so that nobody else takes an id. Readers do not wait.
    await lock_against_writers(driver)
    refused: list[int] = []
    try:
        async with driver.transaction():
            await fetch(driver, _KEEP)
    except UniqueViolationError:
        refused = [row["number"] for row in await fetch(driver, REFUSED)]
        if not skip_taken:
            return refused
        await fetch(driver, _KEEP_FIRST)
    (staged,) = await fetch(driver, _HIGHEST)
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
    # The driver would take a time without a zone for one in the time zone of this machine.
    members = [_with_zone(value) for value in members_of(pet)]
    return [number, pet.id, *members] if isinstance(pet, Pet) else members


def _with_zone(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
