"""Checking and repairing the counts that the database keeps."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from asyncpg.exceptions import InsufficientPrivilegeError
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.failures import translated
from pets.adapters.sqlalchemy.repository import session_of
from pets.adapters.sqlalchemy.statements import Rows
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
_CHECK: Final = f"""
    {_FOUND}
    SELECT age, type, sum(kept), sum(found)
    FROM (
        SELECT age, type, count AS kept, 0 AS found FROM pet_counts
        UNION ALL
        SELECT age, type, 0, count FROM found
    ) AS counts
    GROUP BY age, type HAVING sum(kept) <> sum(found) ORDER BY age, type
"""  # noqa: S608  # made of constants
# TRUNCATE would keep listings waiting.
_FORGET: Final = "DELETE FROM pet_counts"
_KEEP: Final = f"""
    INSERT INTO pet_counts (age, type, count)
    {_FOUND}
    SELECT age, type, count FROM found
"""  # noqa: S608  # made of constants


class OldVersions(NamedTuple):
    """The old versions of rows of `pet_counts`, which every listing passes over.

    PostgreSQL removes them unless a transaction can still see them.
    """

    number: int
    """As PostgreSQL estimates it."""
    seen_by: str
    """The oldest transaction that this role may see, or ""."""


# A standby that has an old snapshot is a session here, and belongs to no database.
_OLD_VERSIONS: Final = """
    WITH transactions AS (
        SELECT backend_xmin AS oldest, concat_ws(', ',
            'process ' || pid || coalesce(' of ' || usename, ''), nullif(application_name, ''),
            state, 'for ' || round(extract(epoch FROM clock_timestamp() - xact_start)) || ' s'
        ) AS name
        FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND coalesce(datname, current_database()) = current_database()
        UNION ALL
        SELECT transaction, 'prepared transaction ' || gid FROM pg_prepared_xacts
        WHERE database = current_database()
        UNION ALL
        SELECT xmin, 'replication slot ' || slot_name FROM pg_replication_slots
    )
    SELECT n_dead_tup, coalesce((
        SELECT name FROM transactions WHERE oldest IS NOT NULL ORDER BY age(oldest) DESC LIMIT 1
    ), '')
    FROM pg_stat_user_tables WHERE relid = 'pet_counts'::regclass
"""


async def find_old_versions(engine: AsyncEngine) -> OldVersions:
    """Return how many old versions the kept counts have. Raises `StoreUnavailable`."""
    if engine.dialect.name == "sqlite":
        return OldVersions(0, "")  # SQLite keeps those of all tables in its log.
    async with translated, session_of(engine) as session:
        ((number, seen_by),) = await session.run(_OLD_VERSIONS)
    return OldVersions(number, seen_by)


async def check_counts(engine: AsyncEngine) -> Sequence[WrongCount]:
    """Return the kept counts that are wrong. Raises `StoreUnavailable`."""
    async with translated, session_of(engine) as session:
        return _wrong_counts(await session.run(_CHECK))


async def repair_counts(engine: AsyncEngine) -> Sequence[WrongCount]:
    """Keep the counts anew, and return those that were wrong. Writers wait meanwhile.

    Raises `StoreUnavailable`, also if the user is not the owner of the tables.
    """
    async with translated, session_of(engine) as session:
        try:
            async with session.without_writers():
                wrong = await session.run(_CHECK)
                await session.run(_FORGET)
                await session.run(_KEEP)
        except InsufficientPrivilegeError as error:
            raise StoreUnavailable("Only the owner of the tables can repair the counts.") from error
    return _wrong_counts(wrong)


def _wrong_counts(rows: Rows) -> Sequence[WrongCount]:
    return [WrongCount(age, type_, int(kept), int(found)) for age, type_, kept, found in rows]
