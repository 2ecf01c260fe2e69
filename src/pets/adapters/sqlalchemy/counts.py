"""Checking and repairing the counts that the database keeps."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, cast, delete, func, insert, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.failures import owners_alone, translated
from pets.adapters.sqlalchemy.listing import ALL_AGES, ZERO
from pets.adapters.sqlalchemy.models import pet_counts, pets
from pets.adapters.sqlalchemy.repository import command_session_of
from pets.adapters.sqlalchemy.statements import Rows


class WrongCount(NamedTuple):
    """A kept count that differs from the number of pets found."""

    age: int
    """-1 stands for all ages."""
    type: str
    kept: int
    found: int


_ages: Final = (
    select(pets.c.age, pets.c.type, func.count().label("count"))
    .group_by(pets.c.age, pets.c.type)
    .cte("ages")
)
_found: Final = union_all(
    select(_ages),
    select(ALL_AGES, _ages.c.type, func.sum(_ages.c.count)).group_by(_ages.c.type),
).cte("found")
"""The counts as they must be. The table of pets is read once."""

_counts: Final = union_all(
    select(
        pet_counts.c.age, pet_counts.c.type, pet_counts.c.count.label("kept"), ZERO.label("found")
    ),
    select(_found.c.age, _found.c.type, ZERO, _found.c.count),
).subquery("counts")
_kept_in_all: Final = cast(func.sum(_counts.c.kept), BigInteger)
_found_in_all: Final = cast(func.sum(_counts.c.found), BigInteger)
_CHECK: Final = (
    select(_counts.c.age, _counts.c.type, _kept_in_all.label("kept"), _found_in_all.label("found"))
    .group_by(_counts.c.age, _counts.c.type)
    .having(_kept_in_all != _found_in_all)
    .order_by(_counts.c.age, _counts.c.type)
)
# TRUNCATE would keep listings waiting.
_FORGET: Final = delete(pet_counts)
_KEEP: Final = insert(pet_counts).from_select(
    [pet_counts.c.age, pet_counts.c.type, pet_counts.c.count], select(_found)
)


class OldVersions(NamedTuple):
    """The old versions of rows of `pet_counts`, which every listing passes over.

    PostgreSQL removes them unless a transaction can still see them.
    """

    number: int
    """As PostgreSQL estimates it."""
    seen_by: str
    """The oldest transaction that this role may see, or ""."""


# A standby that has an old snapshot is a session here, and belongs to no database.
_OLD_VERSIONS: Final = text("""
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
    SELECT n_dead_tup AS number, coalesce((
        SELECT name FROM transactions WHERE oldest IS NOT NULL ORDER BY age(oldest) DESC LIMIT 1
    ), '') AS seen_by
    FROM pg_stat_user_tables WHERE relid = CAST('pet_counts' AS regclass)
""")


async def find_old_versions(engine: AsyncEngine) -> OldVersions:
    """Return how many old versions the kept counts have. Raises `StoreUnavailable`."""
    if engine.dialect.name == "sqlite":
        return OldVersions(0, "")  # SQLite keeps those of all tables in its log.
    async with translated, command_session_of(engine) as session:
        (found,) = await session.fetch(_OLD_VERSIONS)
    return OldVersions(**found)


async def check_counts(engine: AsyncEngine) -> Sequence[WrongCount]:
    """Return the kept counts that are wrong. Raises `StoreUnavailable`."""
    async with translated, command_session_of(engine) as session:
        return _wrong_counts(await session.fetch(_CHECK))


async def repair_counts(engine: AsyncEngine) -> Sequence[WrongCount]:
    """Keep the counts anew, and return those that were wrong. Writers wait meanwhile.

    Raises `StoreUnavailable`, also if the user is not the owner of the tables.
    """
    async with translated, command_session_of(engine) as session:
        with owners_alone("Only the owner of the tables can repair the counts."):
            async with session.without_writers():
                wrong = await session.fetch(_CHECK)
                await session.fetch(_FORGET)
                await session.fetch(_KEEP)
    return _wrong_counts(wrong)


def _wrong_counts(rows: Rows) -> Sequence[WrongCount]:
    return [WrongCount(**row) for row in rows]
