"""Pets in PostgreSQL or SQLite, by SQLAlchemy Core: one statement a call, committed by itself, wherever that can be."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from datetime import timedelta
from sqlite3 import OperationalError
from typing import Any, Final

import sqlalchemy as sa
from asyncpg.exceptions import (
    DataError,
    IntegrityConstraintViolationError,
    InterfaceError,
    PostgresError,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.bulk import LOAD
from pets.adapters.sqlalchemy.dialects import (
    NEW,
    Dialect,
    Parameters,
    PostgreSQL,
    Rows,
    SQLite,
    insert,
)
from pets.adapters.sqlalchemy.searching import TOTAL, listing, search
from pets.adapters.sqlalchemy.tables import REVISION, VERSION_TABLE, pet_keys, pets
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import MAX_ID, NewPet, Pet, PetChange, PetType
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage

MAX_SEARCHES: Final = 5
"""How many connections may search at once, which can take seconds; the others are left to what is quick."""

MAX_WAITING: Final = 64
"""How many searches may be under way or wait."""

CLEAR_EVERY: Final = 100
"""After how many keys old ones are cleared."""

# The count and the items come from one statement, so from one snapshot.
_WALK: Final = (
    sa.select(TOTAL.scalar_subquery(), pets)
    .where(pets.c.id > sa.bindparam("after", type_=sa.BigInteger))
    .order_by(pets.c.id)
    .limit(sa.bindparam("limit"))
)
# Twice as many as came, so that keys go faster than they come.
_CLEAR: Final = (
    sa.delete(pet_keys)
    .where(
        pet_keys.c.key.in_(
            sa.select(pet_keys.c.key)
            .where(
                pet_keys.c.created_at <= sa.bindparam("expired", type_=pet_keys.c.created_at.type)
            )
            .order_by(pet_keys.c.created_at)
            .limit(sa.bindparam("number"))
            .with_for_update(skip_locked=True)
        )
    )
    .returning(pet_keys.c.key)
)
_VERSION: Final[sa.Select[Any]] = sa.select(sa.column("version_num")).select_from(
    sa.table(VERSION_TABLE)
)

# What is given to change a pet: what it shall be, and what it is expected to be before.
_CHANGE: Final = {"id": pets.c.id, "name": pets.c.name, "age": pets.c.age, "type": pets.c.type}
_EXPECTED: Final = {f"expected_{name}": column for name, column in NEW.items()}


class _Statements:
    """The statements that are the same whatever the parameters."""

    def __init__(self, dialect: Dialect) -> None:
        is_asked_for = dialect.is_among(pets.c.id, "ids")
        self.insert = insert(dialect)
        self.find = sa.select(pets).where(is_asked_for)
        # Rows are locked in the order of ids, whatever the plan, so that calls for the same pets cannot deadlock.
        found = sa.select(pets.c.id).order_by(pets.c.id).with_for_update(of=pets).correlate(None)
        self.delete = (
            sa.delete(pets).where(pets.c.id.in_(found.where(is_asked_for))).returning(pets.c.id)
        )

        expected = dialect.given(_CHANGE | _EXPECTED)
        is_same = sa.and_(*(pets.c[name] == expected.c[f"expected_{name}"] for name in NEW))
        is_expected = pets.c.id.in_(
            found.where(
                pets.c.id == expected.c.id, sa.or_(expected.c.expected_name.is_(None), is_same)
            )
        )
        self.delete_expected = sa.delete(pets).where(is_expected).returning(pets.c.id)
        change = dialect.given(_CHANGE | _EXPECTED)
        self.update = (
            sa.update(pets)
            .values(
                {
                    name: sa.func.coalesce(change.c[name], pets.c[name])
                    for name in ("name", "age", "type")
                }
            )
            .where(pets.c.id == change.c.id, is_expected)
            .returning(*pets.c)
        )


_DIALECTS: Final[Mapping[str, Dialect]] = {"postgresql": PostgreSQL(), "sqlite": SQLite()}
_STATEMENTS: Final = {name: _Statements(dialect) for name, dialect in _DIALECTS.items()}


class SQLAlchemyPetRepository:
    """A `PetRepository` over an engine of `pets.adapters.sqlalchemy.engine`."""

    def __init__(self, engine: AsyncEngine, key_ttl: timedelta = timedelta(days=1)) -> None:
        self._engine = engine
        self._key_ttl = key_ttl
        self._uncleared = CLEAR_EVERY  # who starts anew begins with it
        self._searching = asyncio.Semaphore(MAX_SEARCHES)
        self._searches = 0
        self._dialect = _DIALECTS[engine.dialect.name]
        self._statements = _STATEMENTS[engine.dialect.name]

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        given = [(pet.name, pet.age, pet.type, pet.created_at) for pet in pets]
        rows = await self._fetch(self._statements.insert, self._dialect.parameters(NEW, given))
        return [
            pet.with_id(id_) for pet, id_ in zip(pets, sorted(id_ for (id_,) in rows), strict=True)
        ]

    async def add_once(self, pets: Mapping[str, NewPet]) -> Mapping[str, Pet]:
        if not pets:
            return {}
        expired = max(pet.created_at for pet in pets.values()) - self._key_ttl
        self._uncleared += len(pets)
        if self._uncleared >= CLEAR_EVERY:
            number, self._uncleared = 2 * self._uncleared, 0
            await self._fetch(_CLEAR, {"expired": expired, "number": number})
        keyed = [(key, pet.name, pet.age, pet.type, pet.created_at) for key, pet in pets.items()]
        with _translated:
            async with self._engine.connect() as connection:
                rows = await self._dialect.add_once(connection, keyed, expired)
        return {
            key: Pet(id_, name, age, _TYPES[type_], at) for key, id_, name, age, type_, at in rows
        }

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        rows = await self._fetch(self._statements.find, {"ids": _possible(ids)})
        return {row[0]: _pet(row) for row in rows}

    async def page(self, query: PetQuery) -> PetPage:
        if query.is_plain and query.limit:
            rows = await self._fetch(
                _WALK, {"after": query.after.id if query.after else 0, "limit": query.limit + 1}
            )
            if rows:  # else there is none to have the count
                found = [
                    Pet(id_, name, age, _TYPES[type_], at) for _, id_, name, age, type_, at in rows
                ]
                return PetPage.cut(query, rows[0][0], found)
        with _translated:
            async with self._admitted(query), self._engine.connect() as connection:
                rows = await self._dialect.search(connection, search(query, self._dialect))
        return PetPage.cut(query, rows[0][0], [_pet(row) for _, *row in rows if row[0] is not None])

    @asynccontextmanager
    async def _admitted(self, query: PetQuery) -> AsyncIterator[None]:
        """Have searches wait for one another, and turn them away rather than keep others from being served."""
        if not query.is_filtered:
            yield
            return
        if self._searches >= MAX_WAITING:
            raise StoreUnavailable("Too many searches are under way.")
        self._searches += 1
        try:
            async with self._searching:
                yield
        finally:
            self._searches -= 1

    async def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        with _translated:
            async with self._engine.connect() as connection:
                async for rows in self._dialect.stream(connection, listing(query, self._dialect)):
                    yield [_pet(row) for row in rows]

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        rows = await self._fetch(self._statements.update, self._given(changes, expected))
        return {row[0]: _pet(row) for row in rows}

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        if expected:
            parameters = self._given(dict.fromkeys(ids, PetChange()), expected)
            return {
                id_ for (id_,) in await self._fetch(self._statements.delete_expected, parameters)
            }
        return {
            id_ for (id_,) in await self._fetch(self._statements.delete, {"ids": _possible(ids)})
        }

    def _given(
        self, changes: Mapping[int, PetChange], expected: Mapping[int, Pet] | None
    ) -> Parameters:
        rows = []
        for id_ in _possible(changes):
            change, pet = changes[id_], (expected or {}).get(id_)
            before = (pet.name, pet.age, pet.type, pet.created_at) if pet else (None,) * 4
            rows.append((id_, change.name, change.age, change.type, *before))
        return self._dialect.parameters(_CHANGE | _EXPECTED, rows)

    async def load(
        self, pets: AsyncIterable[Sequence[tuple[int, NewPet | Pet]]], *, skip_taken: bool
    ) -> Sequence[int]:
        with _translated:
            async with self._engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                return await LOAD[self._engine.dialect.name](driver, pets, skip_taken=skip_taken)

    async def check(self) -> None:
        with _translated:
            async with self._engine.connect() as connection:
                missing = await self._dialect.missing_grants(connection)
        if missing:
            raise StoreUnavailable(f"The database user lacks {', '.join(missing)}.")
        if [revision for (revision,) in await self._fetch(_VERSION, {})] != [REVISION]:
            raise StoreUnavailable(
                "The store is not migrated to this version; `pets migrate` does that."
            )

    async def _fetch(self, statement: sa.Executable, parameters: Parameters) -> Rows:
        with _translated:
            async with self._engine.connect() as connection:
                return await self._dialect.fetch(connection, statement, parameters)


class _Translated:
    """Makes the domain's error of what databases and drivers raise. A class, for a generator costs more than a row."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        # A value that the domain should have refused is a bug, not a failing store.
        if isinstance(error, _FAILURES) and not isinstance(error, _BUGS):
            cause = error.driver_exception if isinstance(error, DBAPIError) else error
            raise StoreUnavailable("The store cannot be reached or does not answer.") from cause


_translated: Final = _Translated()
_BUGS: Final = (IntegrityError, IntegrityConstraintViolationError, DataError)
_FAILURES: Final = (
    DBAPIError,
    PoolTimeoutError,
    PostgresError,
    InterfaceError,
    OperationalError,
    OSError,
)

_TYPES: Final = {str(kind): kind for kind in PetType}


def _pet(row: Any) -> Pet:  # Any: a row of `pets`, as the driver gives it
    id_, name, age, type_, created_at = row
    return Pet(id_, name, age, _TYPES[type_], created_at)


def _possible(ids: Collection[int]) -> list[int]:
    return [id_ for id_ in ids if 1 <= id_ <= MAX_ID]  # others do not fit the parameter's type
