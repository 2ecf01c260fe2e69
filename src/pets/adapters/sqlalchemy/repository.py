"""Pets in PostgreSQL or SQLite.

Nearly every call is one statement, which is a transaction of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping, Sequence
from datetime import timedelta
from sqlite3 import OperationalError
from typing import Final

from asyncpg.exceptions import (
    DataError,
    IntegrityConstraintViolationError,
    InterfaceError,
    InternalClientError,
    PostgresError,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.gate import Gate
from pets.adapters.sqlalchemy.postgresql import PostgreSQL
from pets.adapters.sqlalchemy.sqlite import SQLite
from pets.adapters.sqlalchemy.statements import CLEAR_KEYS, VERSION, Rows, listing, search, values
from pets.adapters.sqlalchemy.tables import REVISION
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import MAX_ID, NewPet, Pet, PetChange, PetType
from pets.domain.query import PetQuery
from pets.domain.repository import Numbered, PetPage

MAX_SEARCHES: Final = 5
"""How many connections may search at once. A search can take seconds; other calls are quick."""

MAX_WAITING: Final = 64
"""How many searches may be under way or wait."""

CLEAR_EVERY: Final = 100
"""After how many added keys the expired ones are cleared."""

_EXPORT_ROWS: Final = 1000


class SQLAlchemyPetRepository:
    """A `PetRepository` over an engine of `pets.adapters.sqlalchemy.engine`."""

    def __init__(self, engine: AsyncEngine, key_ttl: timedelta = timedelta(days=1)) -> None:
        self._engine = engine
        self._database = database_of(engine)
        self._key_ttl = key_ttl
        self._keys_since_clearing = CLEAR_EVERY  # Clear on the first call after a start.
        self._search_gate = Gate(MAX_WAITING, "Too many searches are under way.")
        self._searching = asyncio.Semaphore(MAX_SEARCHES)

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        async with translated, self._engine.connect() as connection:
            rows = await self._database.add(connection, pets)
        ids = sorted(id_ for (id_,) in rows)
        return [pet.with_id(id_) for pet, id_ in zip(pets, ids, strict=True)]

    async def add_once(self, pets: Mapping[str, NewPet]) -> Mapping[str, Pet]:
        if not pets:
            return {}
        expired = max(pet.created_at for pet in pets.values()) - self._key_ttl
        self._keys_since_clearing += len(pets)
        async with translated, self._engine.connect() as connection:
            if self._keys_since_clearing >= CLEAR_EVERY:
                # Clear twice as many keys as were added, so that expired ones become fewer.
                number = 2 * self._keys_since_clearing
                self._keys_since_clearing = 0
                await connection.execute(CLEAR_KEYS, {"expired": expired, "number": number})
            rows = await self._database.add_once(connection, pets, expired)
        return dict(zip((row[5] for row in rows), _pets(rows), strict=True))

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        async with translated, self._engine.connect() as connection:
            return _by_id(await self._database.find(connection, _possible(ids)))

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        return [await self._page(query) for query in queries]

    async def _page(self, query: PetQuery) -> PetPage:
        rows: Rows = ()
        if query.is_plain and query.limit > 0:
            rows = await self._walk(query)
        # If there is no pet, no row of the walk has the count.
        rows = rows or await self._search(query)
        count = rows[0][5]
        has_pets = rows[0][0] is not None
        return PetPage.cut(query, count, _pets(rows) if has_pets else [])

    async def _walk(self, query: PetQuery) -> Rows:
        after = 0 if query.after is None else query.after.id
        async with translated, self._engine.connect() as connection:
            return await self._database.walk(connection, after, query.limit + 1)

    async def _search(self, query: PetQuery) -> Rows:
        if not query.is_filtered:
            return await self._run_search(query)
        # Searches wait for one another, so that they leave connections to the other calls.
        with self._search_gate:
            async with self._searching:
                return await self._run_search(query)

    async def _run_search(self, query: PetQuery) -> Rows:
        async with translated, self._engine.connect() as connection:
            await self._database.begin_search(connection)
            result = await connection.execute(search(query, self._database))
            rows: Rows = result.all()
            return rows

    async def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        statement = listing(query, self._database)
        options = {"yield_per": _EXPORT_ROWS}
        async with translated, self._engine.connect() as connection:
            await self._database.begin_search(connection)
            async with connection.stream(statement, execution_options=options) as result:
                async for rows in result.partitions():
                    yield _pets(rows)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        rows = []
        for id_ in _possible(changes):
            change = changes[id_]
            rows.append((id_, change.name, change.age, change.type))
        async with translated, self._engine.connect() as connection:
            return _by_id(await self._database.change(connection, rows, _expected(expected)))

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        wanted = _expected(expected)
        async with translated, self._engine.connect() as connection:
            rows = await self._database.remove(connection, _possible(ids), wanted)
        return {id_ for (id_,) in rows}

    async def load(self, pets: AsyncIterable[Numbered], *, skip_taken: bool) -> Sequence[int]:
        async with translated, self._engine.connect() as connection:
            return await self._database.load(connection, pets, skip_taken=skip_taken)

    async def check(self) -> None:
        async with translated, self._engine.connect() as connection:
            missing = await self._database.missing_grants(connection)
            if missing:
                raise StoreUnavailable(f"The database user lacks {', '.join(missing)}.")
            revisions = (await connection.execute(VERSION)).scalars().all()
        if revisions != [REVISION]:
            raise StoreUnavailable(
                "The store is not migrated to this version; `pets migrate` does that."
            )


def database_of(engine: AsyncEngine) -> PostgreSQL | SQLite:
    return PostgreSQL() if engine.dialect.name == "postgresql" else SQLite()


class _Translated:
    """Turns what databases and drivers raise into the domain's error.

    It is a class because a generator costs more than reading a row.
    """

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        # A value that the domain should have rejected is a bug, not a failing store.
        if isinstance(error, _FAILURES) and not isinstance(error, _BUGS):
            cause = error.driver_exception if isinstance(error, DBAPIError) else error
            raise StoreUnavailable("The store cannot be reached or does not answer.") from cause


translated: Final = _Translated()
_BUGS: Final = (IntegrityError, IntegrityConstraintViolationError, DataError)
_FAILURES: Final = (
    DBAPIError,
    PoolTimeoutError,
    PostgresError,
    InterfaceError,
    InternalClientError,  # A session that died at a bad moment leaves asyncpg confused.
    OperationalError,
    OSError,
)

_TYPES: Final = {str(kind): kind for kind in PetType}


def _pets(rows: Rows) -> list[Pet]:
    """Return the pets with which the rows begin."""
    return [Pet(row[0], row[1], row[2], _TYPES[row[3]], row[4]) for row in rows]


def _by_id(rows: Rows) -> Mapping[int, Pet]:
    return {pet.id: pet for pet in _pets(rows)}


def _expected(expected: Mapping[int, Pet] | None) -> Rows:
    if expected is None:
        return []
    return [(id_, *values(pet)) for id_, pet in expected.items()]


def _possible(ids: Collection[int]) -> list[int]:
    """Leave out integers that no id can be, because they do not fit the column's type."""
    return [id_ for id_ in ids if 1 <= id_ <= MAX_ID]
