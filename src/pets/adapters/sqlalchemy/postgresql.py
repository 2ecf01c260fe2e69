"""What PostgreSQL does its own way: its SQL, and running it.

SQLAlchemy's pool lends the connections. All statements are run by the driver, because SQLAlchemy's
results cost as much as the query.
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Final, Self

import asyncpg
from asyncpg.exceptions import PostgresError
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy import postgresql_load, postgresql_pages, postgresql_search
from pets.adapters.sqlalchemy.failures import (
    FAILURES,
    Meaning,
    cause_of,
    connect_error,
    domain_error,
    spoils,
)
from pets.adapters.sqlalchemy.postgresql_lock import lock_against_writers
from pets.adapters.sqlalchemy.postgresql_session import UNREPLICATED
from pets.adapters.sqlalchemy.statements import Row, Rows, values
from pets.domain.pet import NewPet
from pets.domain.query import PetQuery
from pets.domain.repository import Numbered, PetPage

# A set of pets is an array for each column. So a statement is the same for any number of pets.
_ADD: Final = """
    INSERT INTO pets (name, age, type, created_at)
    SELECT name, age, type, created_at AT TIME ZONE 'UTC'
    FROM unnest($1::text[], $2::smallint[], $3::text[], $4::timestamp[])
        WITH ORDINALITY AS new (name, age, type, created_at, position)
    ORDER BY position
    RETURNING id
"""
# Of several calls with one key at once, all but the first wait here for the first one's commit,
# and then find the key used. Keys are claimed in their order, so that calls for the same keys
# cannot deadlock.
_ADD_ONCE: Final = """
    WITH claimed AS (
        INSERT INTO pet_keys AS used (key, id, name, age, type, created_at, pet_created_at)
        SELECT key, nextval((SELECT pg_get_serial_sequence('pets', 'id'))::regclass),
            name, age, type, date_trunc('second', now()), created_at AT TIME ZONE 'UTC'
        FROM unnest($2::text[], $3::text[], $4::smallint[], $5::text[], $6::timestamp[])
            AS new (key, name, age, type, created_at)
        ORDER BY key
        ON CONFLICT (key) DO UPDATE
        SET (id, name, age, type, created_at, pet_created_at) = ROW (
            excluded.id, excluded.name, excluded.age, excluded.type,
            excluded.created_at, excluded.pet_created_at
        )
        WHERE used.created_at <= now() - $1::interval
        RETURNING id, name, age, type, pet_created_at, key
    ), added AS (
        INSERT INTO pets (id, name, age, type, created_at) OVERRIDING SYSTEM VALUE
        SELECT id, name, age, type, pet_created_at FROM claimed
    )
    SELECT id, name, age, type, pet_created_at AT TIME ZONE 'UTC', key FROM claimed
"""
_FIND_KEYS: Final = """
    SELECT id, name, age, type, coalesce(pet_created_at, created_at) AT TIME ZONE 'UTC', key
    FROM pet_keys WHERE key = ANY($1::text[])
"""
# ARRAY() has PostgreSQL find the oldest keys first, and then delete each by its index.
CLEAR_KEYS: Final = """
    DELETE FROM pet_keys
    WHERE key = ANY(ARRAY(
        SELECT key FROM pet_keys WHERE created_at <= now() - $1::interval
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
"""
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
_FIND: Final = """
    SELECT id, name, age, type, created_at AT TIME ZONE 'UTC'
    FROM pets WHERE id = ANY($1::bigint[])
"""

# Pets that differ from what is expected of them are left out. Rows are locked in the order of
# ids, so that calls for the same pets cannot deadlock.
_LOCKED: Final = """
    WITH locked AS (
        SELECT id FROM pets
        WHERE id = ANY($6::bigint[]) AND (
            id <> ALL($1::bigint[])
            OR (id, name, age, type, created_at) IN (
                SELECT id, name, age, type, created_at AT TIME ZONE 'UTC'
                FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::timestamp[])
                    AS expected (id, name, age, type, created_at)
            )
        )
        ORDER BY id FOR UPDATE
    )
"""
_REMOVE: Final = f"""
    {_LOCKED}
    DELETE FROM pets USING locked WHERE pets.id = locked.id RETURNING pets.id
"""  # noqa: S608  # made of constants
_CHANGE: Final = f"""
    {_LOCKED}
    UPDATE pets
    SET name = coalesce(change.name, pets.name),
        age = coalesce(change.age, pets.age),
        type = coalesce(change.type, pets.type)
    FROM locked JOIN unnest($6::bigint[], $7::text[], $8::smallint[], $9::text[])
        AS change (id, name, age, type) USING (id)
    WHERE pets.id = locked.id
    RETURNING pets.id, pets.name, pets.age, pets.type, pets.created_at AT TIME ZONE 'UTC'
"""  # noqa: S608  # made of constants
_HIGHEST_ID: Final = """
    SELECT has_sequence_privilege('pets_id_seq', 'SELECT'), coalesce(max(id), 0) FROM pets
"""
_GIVEN_ID: Final = "SELECT last_value - (NOT is_called)::integer FROM pets_id_seq"
# The user needs no grant to write pet_counts, because the triggers run as their owner.
# If a table does not exist, has_table_privilege() is NULL here, and reading the table will say so.
_MISSING_GRANTS: Final = """
    SELECT needed || ' on ' || name FROM (VALUES
        ('pets', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
        ('pet_keys', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
        ('pet_counts', ARRAY['SELECT']),
        ('pets_alembic_version', ARRAY['SELECT'])
    ) AS tables (name, privileges), unnest(privileges) AS needed
    WHERE NOT has_table_privilege(to_regclass(name), needed)
    UNION ALL
    SELECT 'USAGE on pets_id_seq'
    WHERE NOT has_sequence_privilege(to_regclass('pets_id_seq'), 'USAGE')
"""


class PostgreSQL:
    """A connection for the length of an `async with`.

    It is not taken by `AsyncEngine.connect`, which costs three times as much as a query.
    """

    _driver: asyncpg.Connection

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def __aenter__(self) -> Self:
        try:
            self._lent = await self._engine.raw_connection()
        except FAILURES as error:  # Nothing was sent.
            raise connect_error(error) from cause_of(error)
        driver = self._lent.driver_connection
        assert isinstance(driver, asyncpg.Connection)
        self._driver = driver
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None and self._lent.info[UNREPLICATED]:
            self._lent.invalidate()
            raise domain_error(Meaning.UNKNOWN)
        if spoils(error):
            self._lent.invalidate()  # This closes it at once.
        else:
            self._lent.close()  # This gives it back to the pool.

    async def run(self, statement: str) -> Rows:
        rows: Rows = await self._driver.fetch(statement)
        return rows

    async def tables(self) -> set[str]:
        """Return the names of the tables."""
        return {name for (name,) in await self.run(_TABLES)}

    async def list_pets(self, queries: Sequence[PetQuery]) -> Mapping[PetQuery, PetPage]:
        return await postgresql_pages.read_listings(self._driver, queries)

    async def search(self, query: PetQuery) -> PetPage:
        return await postgresql_search.search(self._driver, query)

    async def export(self, query: PetQuery) -> AsyncGenerator[Rows, None]:
        async with aclosing(postgresql_search.export(self._driver, query)) as chunks:
            async for rows in chunks:
                yield rows

    async def find(self, ids: Collection[int]) -> Rows:
        return await self._driver.fetch(_FIND, ids)

    async def add(self, pets: Sequence[NewPet]) -> Rows:
        return await self._driver.fetch(_ADD, *_columns(4, map(values, pets)))

    async def add_once(self, pets: Mapping[str, NewPet], key_ttl: timedelta) -> Rows:
        rows: list[Row] = []
        try:
            while missing := pets.keys() - {row[5] for row in rows}:
                new = _columns(5, ((key, *values(pets[key])) for key in missing))
                rows += await self._driver.fetch(_ADD_ONCE, key_ttl, *new)
                # Another call can clear a key before this one reads it. The next round adds it.
                used = missing.difference(row[5] for row in rows)
                if used:
                    rows += await self._driver.fetch(_FIND_KEYS, used)
        except PostgresError as error:
            if not rows:
                raise
            # Some pets are committed.
            raise domain_error(Meaning.UNKNOWN) from cause_of(error)
        return rows

    async def clear_keys(self, key_ttl: timedelta, number: int) -> None:
        await self._driver.execute(CLEAR_KEYS, key_ttl, number)

    async def change(self, changes: Rows, expected: Rows) -> Rows:
        parameters = (*_columns(5, expected), *_columns(4, changes))
        return await self._driver.fetch(_CHANGE, *parameters)

    async def remove(self, ids: Collection[int], expected: Rows) -> Rows:
        return await self._driver.fetch(_REMOVE, *_columns(5, expected), ids)

    async def load(
        self, pets: AsyncIterable[Numbered], *, skip_taken: bool, last_id: Callable[[], int]
    ) -> Sequence[int]:
        return await postgresql_load.load(
            self._driver, pets, skip_taken=skip_taken, last_id=last_id
        )

    async def ids(self) -> tuple[int | None, int]:
        """Return the last id that the sequence has given, and the highest id of a pet, or 0.

        The first is None if the user may not read the sequence.
        """
        ((is_allowed, highest),) = await self.run(_HIGHEST_ID)
        if not is_allowed:
            return None, highest
        ((given,),) = await self.run(_GIVEN_ID)
        return given, highest

    async def raise_ids(self, id_: int) -> None:
        """Let no id up to this one be given. It must be within `without_writers`."""
        await postgresql_load.raise_sequence(self._driver, id_)

    @asynccontextmanager
    async def without_writers(self) -> AsyncIterator[None]:
        """Run statements as one transaction, in which nobody else writes pets."""
        async with self._driver.transaction():
            await lock_against_writers(self._driver)
            yield

    async def missing_grants(self) -> Sequence[str]:
        """Return the grants that the user needs and does not have, as "INSERT on pets"."""
        return [grant for (grant,) in await self.run(_MISSING_GRANTS)]


def _columns(number: int, rows: Iterable[Sequence[object]]) -> Sequence[Sequence[object]]:
    return list(zip(*rows, strict=True)) or [()] * number
