"""Checking and repairing the counts that the database keeps."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from asyncpg.exceptions import InsufficientPrivilegeError
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pets.adapters.sqlalchemy.repository import database_of, translated
from pets.domain.errors import StoreUnavailable


class WrongCount(NamedTuple):
    """A kept count that differs from the number of pets found."""

    age: int
    """-1 stands for all ages."""
    type: str
    kept: int
    found: int


# Both databases read the table once.
_FOUND: Final = """
    WITH ages AS (
        SELECT age, type, count(*) AS count FROM pets GROUP BY age, type
    ), found AS (
        SELECT age, type, count FROM ages
        UNION ALL
        SELECT -1, type, sum(count) FROM ages GROUP BY type
    )
"""
_CHECK: Final = text(f"""
    {_FOUND}
    SELECT age, type, sum(kept), sum(found)
    FROM (
        SELECT age, type, count AS kept, 0 AS found FROM pet_counts
        UNION ALL
        SELECT age, type, 0, count FROM found
    ) AS counts
    GROUP BY age, type HAVING sum(kept) <> sum(found) ORDER BY age, type
""")  # noqa: S608  # made of constants
# TRUNCATE would keep listings waiting.
_FORGET: Final = "DELETE FROM pet_counts"
_KEEP: Final = f"""
    INSERT INTO pet_counts (age, type, count)
    {_FOUND}
    SELECT age, type, count FROM found
"""  # noqa: S608  # made of constants


async def check_counts(engine: AsyncEngine) -> Sequence[WrongCount]:
    """Return the kept counts that are wrong. Raises `StoreUnavailable`."""
    async with translated, engine.connect() as connection:
        return await _wrong_counts(connection)


async def repair_counts(engine: AsyncEngine) -> Sequence[WrongCount]:
    """Keep the counts anew, and return those that were wrong. Writers wait meanwhile.

    Raises `StoreUnavailable`, also if the user is not the owner of the tables.
    """
    async with translated, engine.connect() as connection:
        try:
            async with database_of(engine).without_writers(connection):
                wrong = await _wrong_counts(connection)
                await connection.exec_driver_sql(_FORGET)
                await connection.exec_driver_sql(_KEEP)
        except (ProgrammingError, InsufficientPrivilegeError) as error:
            reason = error.driver_exception if isinstance(error, ProgrammingError) else error
            raise StoreUnavailable(
                "Only the owner of the tables can repair the counts."
            ) from reason
    return wrong


async def _wrong_counts(connection: AsyncConnection) -> Sequence[WrongCount]:
    rows = await connection.execute(_CHECK)
    return [WrongCount(age, type_, int(kept), int(found)) for age, type_, kept, found in rows]
