"""An index of the parts of names, which searches on PostgreSQL use if it exists.

It holds the trigrams of the folded names: every three characters in a row, by PostgreSQL's own
extension pg_trgm. With it a search for three or more characters reads only the pets whose names
have them, and no longer the whole table. Writes take longer with it (docs/decisions/0031). So it
is no part of the schema, and the operator of a large store decides (`pets index-names`).
"""

from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import Index, MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateIndex, DropIndex

from pets.adapters.sqlalchemy.calls import command_session_of
from pets.adapters.sqlalchemy.failures import owners_alone, translated
from pets.adapters.sqlalchemy.models import pets
from pets.adapters.sqlalchemy.postgresql import PostgreSQLCommands
from pets.domain.errors import StoreUnavailable

NAME: Final = "pets_by_part_of_name"

_OWNERS_ALONE: Final = "Only the owner of the tables, who may create an extension, can index names."

# These are text, because they are about the catalogue and the extension.
_EXTENSION: Final = text("CREATE EXTENSION IF NOT EXISTS pg_trgm")
_ANALYZE: Final = text("ANALYZE pets")
_STATE: Final = text("""
    SELECT indisvalid AS is_valid, (
        SELECT pid FROM pg_stat_progress_create_index WHERE index_relid = indexrelid
    ) AS made_by
    FROM pg_index WHERE indexrelid = to_regclass('pets_by_part_of_name')
""")
_PROGRESS: Final = text("""
    SELECT phase, blocks_done AS done, blocks_total AS total
    FROM pg_stat_progress_create_index WHERE relid = CAST('pets' AS regclass)
""")


class NameIndex(StrEnum):
    """The state of the index."""

    NONE = "none"
    MADE = "made"
    BEING_MADE = "being made"
    BROKEN = "broken"
    """It was not made to its end. Writes keep it up, but no search uses it."""


class Progress(NamedTuple):
    """How far PostgreSQL is with the index."""

    phase: str
    """As PostgreSQL calls it."""
    done: int
    """Blocks of the table."""
    total: int


async def find_name_index(engine: AsyncEngine) -> NameIndex:
    """Return the state of the index. SQLite has none. Raises `StoreUnavailable`."""
    async with translated, command_session_of(engine) as session:
        if not isinstance(session, PostgreSQLCommands):
            return NameIndex.NONE
        found = await session.fetch(_STATE)
    if not found:
        return NameIndex.NONE
    if found[0]["made_by"] is not None:
        return NameIndex.BEING_MADE
    return NameIndex.MADE if found[0]["is_valid"] else NameIndex.BROKEN


async def create_name_index(engine: AsyncEngine) -> None:
    """Make the index while others read and write. One that is broken is made anew.

    Raises `StoreUnavailable`, also if the user is not the owner of the tables.
    """
    state = await find_name_index(engine)
    if state is NameIndex.BEING_MADE:
        raise StoreUnavailable("The index is being made already.")
    if state is NameIndex.MADE:
        return
    async with translated, PostgreSQLCommands(engine) as session:
        with owners_alone(_OWNERS_ALONE):
            await session.fetch(_EXTENSION)
            index = await _index(session)
            if state is NameIndex.BROKEN:
                await session.fetch(DropIndex(index))
            await session.fetch(CreateIndex(index))
            # Otherwise PostgreSQL does not know how rare a part of a name is.
            await session.fetch(_ANALYZE)


async def drop_name_index(engine: AsyncEngine) -> None:
    """Remove the index while others read and write. Raises as `create_name_index`."""
    async with translated, PostgreSQLCommands(engine) as session:
        with owners_alone(_OWNERS_ALONE):
            await session.fetch(DropIndex(await _index(session), if_exists=True))


async def find_progress(engine: AsyncEngine) -> Progress | None:
    """Return how far the index is, or None if none is being made. Raises `StoreUnavailable`."""
    async with translated, PostgreSQLCommands(engine) as session:
        found = await session.fetch(_PROGRESS)
    return Progress(**found[0]) if found else None


async def _index(session: PostgreSQLCommands) -> Index:
    """Return the index, whose expression must be the one that searches compare."""
    table = pets.to_metadata(MetaData())  # `pets` itself has only the indexes of the schema.
    folded = (await session.fold())(table.c.name).label("folded")
    return Index(
        NAME,
        folded,
        postgresql_using="gin",
        postgresql_ops={"folded": "gin_trgm_ops"},
        postgresql_concurrently=True,
        _table=table,
    )
