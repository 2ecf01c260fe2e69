"""Pets in PostgreSQL or SQLite.

Nearly every call is one statement, which is a transaction of its own.
"""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Final

from asyncpg.exceptions import (
    DataError,
    IntegrityConstraintViolationError,
    InterfaceError,
    InternalClientError,
    PostgresError,
)
from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.postgresql import PostgreSQL
from pets.adapters.sqlalchemy.sqlite import SQLite
from pets.adapters.sqlalchemy.statements import VERSION, Rows, pets_of, values
from pets.adapters.sqlalchemy.tables import REVISION
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import MAX_ID, NewPet, Pet, PetChange
from pets.domain.query import PetQuery
from pets.domain.repository import Numbered, PetPage

CLEAR_EVERY: Final = 100
"""After how many added keys the expired ones are cleared."""


class SQLAlchemyPetRepository:
    """A `PetRepository` over engines of `pets.adapters.sqlalchemy.engine`.

    `searching` is the engine for searches, exports and loads. They can take long, and are planned
    in another way. Without it they share the engine of the quick calls.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        key_ttl: timedelta = timedelta(days=1),
        searching: AsyncEngine | None = None,
    ) -> None:
        self._engine = engine
        self._searching = searching or engine
        self._key_ttl = key_ttl
        self._keys_since_clearing = CLEAR_EVERY  # Clear on the first call after a start.

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        async with translated, session_of(self._engine) as session:
            rows = await session.add(pets)
        ids = sorted(id_ for (id_,) in rows)
        return [pet.with_id(id_) for pet, id_ in zip(pets, ids, strict=True)]

    async def add_once(self, pets: Mapping[str, NewPet]) -> Mapping[str, Pet]:
        if not pets:
            return {}
        expired = max(pet.created_at for pet in pets.values()) - self._key_ttl
        self._keys_since_clearing += len(pets)
        async with translated, session_of(self._engine) as session:
            if self._keys_since_clearing >= CLEAR_EVERY:
                # Clear twice as many keys as were added, so that expired ones become fewer.
                number = 2 * self._keys_since_clearing
                self._keys_since_clearing = 0
                await session.clear_keys(expired, number)
            rows = await session.add_once(pets, expired)
        return dict(zip((row[5] for row in rows), pets_of(rows), strict=True))

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        async with translated, session_of(self._engine) as session:
            return _by_id(await session.find(_possible(ids)))

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        listings: list[PetQuery] = []
        searches: list[PetQuery] = []
        for query in dict.fromkeys(queries):
            (searches if query.is_search else listings).append(query)
        pages: dict[PetQuery, PetPage] = {}
        if listings:
            async with translated, session_of(self._engine) as session:
                pages.update(await session.list_pets(listings))
        if searches:
            pages.update(await self._search(searches))
        return [pages[query] for query in queries]

    async def _search(self, queries: Sequence[PetQuery]) -> Mapping[PetQuery, PetPage]:
        pages = {}
        async with translated, session_of(self._searching) as session:
            for query in queries:
                pages[query] = await session.search(query)
        return pages

    async def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        async with (
            translated,
            session_of(self._searching) as session,
            aclosing(session.export(query)) as chunks,
        ):
            async for rows in chunks:
                yield pets_of(rows)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        rows = []
        for id_ in _possible(changes):
            change = changes[id_]
            rows.append((id_, change.name, change.age, change.type))
        async with translated, session_of(self._engine) as session:
            return _by_id(await session.change(rows, _expected(expected)))

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        wanted = _expected(expected)
        async with translated, session_of(self._engine) as session:
            rows = await session.remove(_possible(ids), wanted)
        return {id_ for (id_,) in rows}

    async def load(self, pets: AsyncIterable[Numbered], *, skip_taken: bool) -> Sequence[int]:
        async with translated, session_of(self._searching) as session:
            return await session.load(pets, skip_taken=skip_taken)

    async def check(self) -> None:
        async with translated, session_of(self._engine) as session:
            missing = await session.missing_grants()
            if missing:
                raise StoreUnavailable(f"The database user lacks {', '.join(missing)}.")
            revisions = await session.run(VERSION)
        if [revision for (revision,) in revisions] != [REVISION]:
            raise StoreUnavailable(
                "The store is not migrated to this version; `pets migrate` does that."
            )


def session_of(engine: AsyncEngine) -> PostgreSQL | SQLite:
    """Return a session on one connection. It begins and ends with an `async with`."""
    is_postgresql = engine.dialect.name == "postgresql"
    return PostgreSQL(engine) if is_postgresql else SQLite(engine)


class _Translated:
    """Turns what databases and drivers raise into the domain's error.

    It is a class because a generator costs more than reading a row.
    """

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        # A value that the domain should have rejected is a bug, not a failing store.
        if isinstance(error, _FAILURES) and not isinstance(error, _BUGS):
            cause: Exception = error
            if isinstance(error, DBAPIError | EmulatedDBAPIException):
                cause = error.driver_exception
            raise StoreUnavailable("The store cannot be reached or does not answer.") from cause


translated: Final = _Translated()
_BUGS: Final = (
    IntegrityError,
    IntegrityConstraintViolationError,
    DataError,
    sqlite3.IntegrityError,
)
_FAILURES: Final = (
    DBAPIError,
    EmulatedDBAPIException,  # SQLAlchemy's, if a connection cannot be made
    PoolTimeoutError,
    PostgresError,
    InterfaceError,
    InternalClientError,  # A session that died at a bad moment leaves asyncpg confused.
    sqlite3.DatabaseError,
    OSError,
)


def _by_id(rows: Rows) -> Mapping[int, Pet]:
    return {pet.id: pet for pet in pets_of(rows)}


def _expected(expected: Mapping[int, Pet] | None) -> Rows:
    if expected is None:
        return []
    return [(id_, *values(pet)) for id_, pet in expected.items()]


def _possible(ids: Collection[int]) -> list[int]:
    """Leave out integers that no id can be, because they do not fit the column's type."""
    return [id_ for id_ in ids if 1 <= id_ <= MAX_ID]
