"""What SQLite does its own way: sessions, its SQL, and running it."""

import asyncio
import json
import os
import sqlite3
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
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from typing import Final, Self

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pets.adapters.sqlalchemy import sqlite_load, sqlite_pages, tables
from pets.adapters.sqlalchemy.failures import (
    FAILURES,
    Meaning,
    cause_of,
    connect_error,
    domain_error,
    meaning_of,
    spoils,
)
from pets.adapters.sqlalchemy.sqlite_file import STORE_FILE, StoreFile
from pets.adapters.sqlalchemy.statements import Rows, pets_of, values
from pets.domain.errors import NoIdsLeft, OutcomeUnknown, StoreUnavailable
from pets.domain.pet import MAX_ID, NewPet
from pets.domain.query import PetQuery
from pets.domain.repository import Numbered, PetPage

# A set of pets is one parameter: JSON with an array for each pet. So a statement is the same for
# any number of pets.
_ADD: Final = sa.text("""
    INSERT INTO pets (name, age, type, created_at)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
        json_extract(value, '$[2]'), json_extract(value, '$[3]')
    FROM json_each(:pets) ORDER BY key
    RETURNING id
""")
_FORGET_KEYS: Final = sa.text("""
    DELETE FROM pet_keys
    WHERE key IN (SELECT value FROM json_each(:keys)) AND created_at <= datetime('now', :age)
""")
_ADD_KEYS: Final = sa.text("""
    INSERT INTO pet_keys (key, id, name, age, type, created_at, pet_created_at)
    SELECT new.key, id, name, age, type, datetime('now'), created_at
    FROM (
        SELECT json_extract(value, '$[0]') AS key, json_extract(value, '$[1]') AS pet_id
        FROM json_each(:keys)
    ) AS new JOIN pets ON id = new.pet_id
""")
_FIND_KEYS: Final = sa.text("""
    SELECT id, name, age, type, coalesce(pet_created_at, created_at), key
    FROM pet_keys WHERE key IN (SELECT value FROM json_each(:keys))
""").columns(*tables.pets.c, tables.pet_keys.c.key)
_CLEAR_KEYS: Final = sa.text("""
    DELETE FROM pet_keys
    WHERE key IN (
        SELECT key FROM pet_keys WHERE created_at <= datetime('now', :age)
        ORDER BY created_at LIMIT :number
    )
""")
_IDS: Final = """
    SELECT coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'pets'), 0),
        coalesce((SELECT max(id) FROM pets), 0)
"""
_MANY: Final = 2**31
"""More pets than one call can add."""
_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_FIND: Final = sa.text("""
    SELECT id, name, age, type, created_at
    FROM pets WHERE id IN (SELECT value FROM json_each(:ids))
""").columns(*tables.pets.c)

# Pets that differ from what is expected of them are left out.
_IS_EXPECTED: Final = """
    (
        pets.id NOT IN (SELECT json_extract(value, '$[0]') FROM json_each(:expected))
        OR (pets.id, pets.name, pets.age, pets.type, pets.created_at) IN (
            SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
                json_extract(value, '$[2]'), json_extract(value, '$[3]'),
                json_extract(value, '$[4]')
            FROM json_each(:expected)
        )
    )
"""
_REMOVE: Final = sa.text(f"""
    DELETE FROM pets
    WHERE id IN (SELECT value FROM json_each(:ids)) AND {_IS_EXPECTED}
    RETURNING id
""")  # noqa: S608  # made of constants
_CHANGE: Final = sa.text(f"""
    UPDATE pets
    SET name = coalesce(json_extract(change.value, '$[1]'), pets.name),
        age = coalesce(json_extract(change.value, '$[2]'), pets.age),
        type = coalesce(json_extract(change.value, '$[3]'), pets.type)
    FROM json_each(:changes) AS change
    WHERE pets.id = json_extract(change.value, '$[0]') AND {_IS_EXPECTED}
    RETURNING id, name, age, type, created_at
""").columns(*tables.pets.c)  # noqa: S608  # made of constants


class SQLite:
    """A connection for the length of an `async with`."""

    _connection: AsyncConnection
    _driver: aiosqlite.Connection

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._file: StoreFile = engine.sync_engine.get_execution_options()[STORE_FILE]

    async def __aenter__(self) -> Self:
        self._file.check()
        try:
            self._connection = await self._engine.connect()
        except FAILURES as error:
            raise connect_error(error) from cause_of(error)
        try:
            self._file.check()
        except StoreUnavailable:
            await self._connection.invalidate()  # It may have been opened to another file.
            raise
        driver = (await self._connection.get_raw_connection()).driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        self._driver = driver
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and self._must_be_replaced(error):
            await self._connection.invalidate()
        await self._connection.close()
        if error is None:
            self._check_file_after()

    def _check_file_after(self) -> None:
        """Raise `OutcomeUnknown` if a change may have been made to a file that is gone."""
        try:
            self._file.check()
        except StoreUnavailable as error:
            raise OutcomeUnknown(str(error)) from error.__cause__

    def _must_be_replaced(self, error: Exception) -> bool:
        """Whether another connection would do better after this error.

        While the file is read-only, none would. SQLite also keeps the file of a closed connection
        open while others read, so a new connection for each failed write would use up the open
        files.
        """
        if meaning_of(error) is Meaning.READ_ONLY:
            return os.access(self._file.path, os.W_OK)
        return spoils(error)

    async def run(self, statement: str) -> Rows:
        result = await self._connection.exec_driver_sql(statement)
        return result.all() if result.returns_rows else []

    async def tables(self) -> set[str]:
        """Return the names of the tables."""
        return {name for (name,) in await self.run(_TABLES)}

    async def list_pets(self, queries: Sequence[PetQuery]) -> Mapping[PetQuery, PetPage]:
        return {query: await self.search(query) for query in queries}

    async def search(self, query: PetQuery) -> PetPage:
        # One transaction reads one snapshot, so the count and the pets are of one moment.
        await self._driver.execute("BEGIN")
        try:
            count, rows = await sqlite_pages.read_page(self._driver, query)
        except asyncio.CancelledError:
            await self._driver.interrupt()  # Otherwise the rollback would wait for the statement.
            raise
        finally:
            await self._driver.rollback()
        return PetPage.cut(query, count, pets_of(rows))

    async def export(self, query: PetQuery) -> AsyncGenerator[Rows, None]:
        async with aclosing(sqlite_pages.export(self._driver, query)) as chunks:
            async for rows in chunks:
                yield rows

    async def find(self, ids: Collection[int]) -> Rows:
        return await self._fetch(_FIND, ids=_json(ids))

    async def add(self, pets: Sequence[NewPet]) -> Rows:
        self._check_room()
        try:
            return await self._fetch(_ADD, pets=_json(map(values, pets)))
        except DBAPIError as error:
            await self._raise_if_no_ids(error)
            raise

    async def add_once(self, pets: Mapping[str, NewPet], key_ttl: timedelta) -> Rows:
        keys = _json(pets)
        async with self.without_writers():
            await self._connection.execute(_FORGET_KEYS, {"keys": keys, "age": _age(key_ttl)})
            used = await self._fetch(_FIND_KEYS, keys=keys)
            new = pets.keys() - {row[5] for row in used}
            if not new:
                return used
            ids = await self.add([pets[key] for key in new])
            ids_by_key = zip(new, sorted(id_ for (id_,) in ids), strict=True)
            await self._connection.execute(_ADD_KEYS, {"keys": _json(ids_by_key)})
            return await self._fetch(_FIND_KEYS, keys=keys)

    async def clear_keys(self, key_ttl: timedelta, number: int) -> None:
        self._check_room()
        parameters = {"age": _age(key_ttl), "number": number}
        await self._connection.execute(_CLEAR_KEYS, parameters)

    async def change(self, changes: Rows, expected: Rows) -> Rows:
        self._check_room()
        sets = {"changes": _json(changes), "expected": _json(expected)}
        return await self._fetch(_CHANGE, **sets)

    async def remove(self, ids: Collection[int], expected: Rows) -> Rows:
        self._check_room()
        return await self._fetch(_REMOVE, ids=_json(ids), expected=_json(expected))

    async def load(
        self, pets: AsyncIterable[Numbered], *, skip_taken: bool, last_id: Callable[[], int]
    ) -> Sequence[int]:
        self._check_room()
        try:
            return await sqlite_load.load(
                self._driver, pets, skip_taken=skip_taken, last_id=last_id
            )
        except sqlite3.Error as error:
            await self._raise_if_no_ids(error)
            raise

    async def ids(self) -> tuple[int, int]:
        """Return the last id that SQLite remembers to have given, and the highest id of a pet."""
        ((given, highest),) = await self.run(_IDS)
        return given, highest

    async def raise_ids(self, id_: int) -> None:
        """Let no id up to this one be given. It must be within `without_writers`."""
        await sqlite_load.raise_sequence(self._driver, id_)

    async def _raise_if_no_ids(self, error: Exception) -> None:
        """Raise `NoIdsLeft` for an error by which SQLite says that the disk is full.

        It says the same when there are no ids left. An insert of many pets may have come close to
        the end of the ids, and was undone.
        """
        if meaning_of(error) is Meaning.DISK and max(await self.ids()) > MAX_ID - _MANY:
            raise NoIdsLeft from error

    @asynccontextmanager
    async def without_writers(self) -> AsyncIterator[None]:
        """Run statements as one transaction, in which nobody else writes."""
        self._check_room()
        await self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # It fails if the connection is lost, or if SQLite has rolled back by itself.
            with suppress(SQLAlchemyError):
                await self._connection.exec_driver_sql("ROLLBACK")
            raise
        await self._connection.exec_driver_sql("COMMIT")

    async def missing_grants(self) -> Sequence[str]:
        """SQLite has no users."""
        return []

    def _check_room(self) -> None:
        """Raise `StoreUnavailable` before a change that might never leave `-wal`."""
        if not self._file.has_room():
            reason = f"the disk of {self._file.path} is nearly full"
            raise domain_error(Meaning.DISK) from OSError(reason)

    async def _fetch(self, statement: sa.Executable, **parameters: object) -> Rows:
        return (await self._connection.execute(statement, parameters)).all()


def _age(key_ttl: timedelta) -> str:
    """Return what SQLite adds to a time to get that of the keys that expire then."""
    return f"-{key_ttl.total_seconds()} seconds"


def _json(rows: Iterable[object]) -> str:
    return json.dumps(list(rows), default=str)
