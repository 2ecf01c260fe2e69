"""Whether a database is as it must be: its server, schema, counts and ids. And repairing it."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, cast, delete, func, insert, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.calls import CommandSession, command_session_of
from pets.adapters.sqlalchemy.failures import NOT_MIGRATED, owners_alone, translated
from pets.adapters.sqlalchemy.listing import ALL_AGES, ZERO
from pets.adapters.sqlalchemy.models import (
    FIRST_REVISION,
    REVISION,
    SHARED_VERSION_TABLE,
    VERSION_TABLE,
    pet_counts,
    pets,
    version_of,
)
from pets.adapters.sqlalchemy.postgresql_session import too_old
from pets.adapters.sqlalchemy.statements import Rows
from pets.domain.errors import StoreUnavailable


class Server(NamedTuple):
    """A database that answers."""

    name: str
    version: str
    encoding: str
    clock: float
    """Its time, in seconds since 1970."""


# It is text, because it is about the servers and no table.
_SERVER: Final = {
    "postgresql": text("""
        SELECT 'PostgreSQL' AS name, current_setting('server_version') AS version,
            CAST(current_setting('server_version_num') AS integer) AS number,
            current_setting('server_encoding') AS encoding,
            CAST(extract(epoch FROM clock_timestamp()) AS float8) AS clock
    """),
    "sqlite": text("""
        SELECT 'SQLite' AS name, sqlite_version() AS version, NULL AS number,
            (SELECT encoding FROM pragma_encoding) AS encoding,
            (julianday('now') - 2440587.5) * 86400 AS clock
    """),
}


async def look_at_server(engine: AsyncEngine) -> Server:
    """Raises `StoreUnavailable`, also if the server is too old."""
    async with translated, command_session_of(engine) as session:
        (found,) = await session.fetch(_SERVER[engine.dialect.name])
    number = found["number"]
    if number is not None and (obstacle := too_old(found["version"], number)):
        raise StoreUnavailable(obstacle)
    return Server(found["name"], found["version"], found["encoding"], found["clock"])


async def check_revision(engine: AsyncEngine) -> None:
    """Raise `StoreUnavailable` if the store does not have the schema of this version."""
    async with translated, command_session_of(engine) as session:
        await _check_revision(session)


async def check_schema(session: CommandSession) -> None:
    """Raise `StoreUnavailable` if the schema is not of this version, or a grant is missing."""
    missing = await session.missing_grants()
    if missing:
        raise StoreUnavailable(f"The database user lacks {', '.join(missing)}.")
    await _check_revision(session)


async def _check_revision(session: CommandSession) -> None:
    tables = await session.tables()
    if VERSION_TABLE in tables:
        # A newer version may migrate while this one serves, until it is replaced.
        revisions = await session.fetch(version_of(VERSION_TABLE))
        if any(row["version_num"] >= REVISION for row in revisions):
            return
    elif {"pets", SHARED_VERSION_TABLE} <= tables:
        revisions = await session.fetch(version_of(SHARED_VERSION_TABLE))
        if FIRST_REVISION not in {row["version_num"] for row in revisions}:
            raise StoreUnavailable(
                "Version 1.1 or older made the store: export its pets with that version, and import"
                " them into a new one."
            )
    raise StoreUnavailable(NOT_MIGRATED)


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
_WRONG_COUNTS: Final = (
    select(_counts.c.age, _counts.c.type, _kept_in_all.label("kept"), _found_in_all.label("found"))
    .group_by(_counts.c.age, _counts.c.type)
    .having(_kept_in_all != _found_in_all)
    .order_by(_counts.c.age, _counts.c.type)
)
# TRUNCATE would keep listings waiting.
_CLEAR_COUNTS: Final = delete(pet_counts)
_FILL_COUNTS: Final = insert(pet_counts).from_select(
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
        return _wrong_counts(await session.fetch(_WRONG_COUNTS))


async def repair_counts(engine: AsyncEngine) -> Sequence[WrongCount]:
    """Keep the counts anew, and return those that were wrong. Writers wait meanwhile.

    Raises `StoreUnavailable`, also if the user is not the owner of the tables.
    """
    async with translated, command_session_of(engine) as session:
        with owners_alone("Only the owner of the tables can repair the counts."):
            async with session.without_writers():
                wrong = await session.fetch(_WRONG_COUNTS)
                await session.fetch(_CLEAR_COUNTS)
                await session.fetch(_FILL_COUNTS)
    return _wrong_counts(wrong)


def _wrong_counts(rows: Rows) -> Sequence[WrongCount]:
    return [WrongCount(**row) for row in rows]


class IdsBehind(NamedTuple):
    """A sequence that would give ids again, as after a copy of the pets without the sequence."""

    given: int
    """The last id that the sequence has given, or 0."""
    highest: int
    """The highest id of a pet."""


async def check_ids(engine: AsyncEngine) -> IdsBehind | None:
    """Return None if the sequence is not behind, or the user may not read it.

    Raises `StoreUnavailable`.
    """
    async with translated, command_session_of(engine) as session:
        return await _ids_behind(session)


async def repair_ids(engine: AsyncEngine) -> IdsBehind | None:
    """Move the sequence beyond the ids of all pets, and return what it was. Writers wait meanwhile.

    Raises `StoreUnavailable`, also if the user is not the owner of the tables.
    """
    async with translated, command_session_of(engine) as session:
        if not await _ids_behind(session):
            return None
        with owners_alone("Only the owner of the tables can repair the sequence of ids."):
            async with session.without_writers():
                behind = await _ids_behind(session)
                if behind:
                    await session.raise_ids(behind.highest)
                return behind


async def _ids_behind(session: CommandSession) -> IdsBehind | None:
    given, highest = await session.ids()
    return IdsBehind(given, highest) if given is not None and given < highest else None
