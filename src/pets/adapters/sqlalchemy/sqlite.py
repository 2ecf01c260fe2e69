"""What SQLite does its own way: sessions."""

import asyncio
import os
import sqlite3
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final, Self

import aiosqlite
from sqlalchemy import Executable, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy import sqlite_load
from pets.adapters.sqlalchemy import sqlite_statements as own
from pets.adapters.sqlalchemy.failures import (
    Outcome,
    domain_error,
    leaves_connection_unusable,
    outcome_of,
)
from pets.adapters.sqlalchemy.keyed_sets import KeyedSets, added_sets, key_of, keys_of
from pets.adapters.sqlalchemy.listing import COST_OF_GATHERING, Shape, parameters_of
from pets.adapters.sqlalchemy.sessions import ConnectionSession
from pets.adapters.sqlalchemy.sqlite_file import STORE_FILE, StoreFile
from pets.adapters.sqlalchemy.statements import Parameters, Rows, members_of, pets_of
from pets.domain.errors import NoIdsLeft, OutcomeUnknown, StoreUnavailable
from pets.domain.pet import MAX_ID, Pet
from pets.domain.query import PetQuery
from pets.domain.repository import AddedOnce, Numbered, PetPage

_EXPORT_ROWS: Final = 1000
_MANY: Final = 2**31
"""More pets than one call can add."""


class SQLite(ConnectionSession):
    """A session for requests and for commands."""

    statements = own.STATEMENTS
    _driver: aiosqlite.Connection

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._file: StoreFile = engine.sync_engine.get_execution_options()[STORE_FILE]

    async def __aenter__(self) -> Self:
        self._file.check()
        await super().__aenter__()
        try:
            self._file.check()
        except StoreUnavailable:
            await self.connection.invalidate()  # It may have been opened to another file.
            raise
        driver = (await self.connection.get_raw_connection()).driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        self._driver = driver
        return self

    async def __aexit__(self, type_: object, error: BaseException | None, trace: object) -> None:
        await super().__aexit__(type_, error, trace)
        if error is None:
            self._check_file_after()

    def _check_file_after(self) -> None:
        """Raise `OutcomeUnknown` if a change may have been made to a file that is gone."""
        try:
            self._file.check()
        except StoreUnavailable as error:
            raise OutcomeUnknown(str(error)) from error.__cause__

    def must_be_replaced(self, error: BaseException) -> bool:
        """Whether another connection would do better after this error.

        While the file is read-only, none would. SQLite also keeps the file of a closed connection
        open while others read, so a new connection for each failed write would use up the open
        files.
        """
        if not isinstance(error, Exception):
            return False
        if outcome_of(error) is Outcome.READ_ONLY:
            return os.access(self._file.path, os.W_OK)
        return leaves_connection_unusable(error)

    async def fetch(self, statement: Executable, parameters: Parameters | None = None) -> Rows:
        if statement.is_dml:
            self._check_room()
        try:
            return await super().fetch(statement, parameters)
        except DBAPIError as error:
            if statement.is_insert:
                await self._raise_if_no_ids(error)
            raise

    async def pages(self, queries: Sequence[PetQuery]) -> Mapping[PetQuery, PetPage]:
        return {query: await self.search(query) for query in queries}

    async def search(self, query: PetQuery) -> PetPage:
        # One transaction reads one snapshot, so the count and the pets are of one moment.
        await self._driver.execute("BEGIN")
        try:
            return await self._interruptible(self._page(query))
        finally:
            await self._driver.rollback()

    async def _interruptible(self, call: Coroutine[None, None, PetPage]) -> PetPage:
        """End a statement at once if its caller is cancelled.

        SQLAlchemy does not learn of it, because it would give up the connection and leave the
        statement running.
        """
        task = asyncio.create_task(call)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await self._driver.interrupt()
            with suppress(DBAPIError):  # It says that it was interrupted.
                await task
            raise
        return task.result()

    async def _page(self, query: PetQuery) -> PetPage:
        shape = Shape.of(query)
        parameters = _parameters_of(query)
        (found,) = await self.fetch(own.counts(shape), parameters)
        count = found["count"]
        if not query.limit:
            return PetPage(count, [])
        is_long = COST_OF_GATHERING * count**2 > query.limit * found["total"]
        statement = own.page(shape, walks=is_long and shape.is_kept)
        return PetPage.cut(query, count, pets_of(await self.fetch(statement, parameters)))

    # Any: each column has a type of its own.
    async def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Sequence[Any]], None]:
        """Yield the values of the columns `PET` of each pet, which takes less than mappings."""
        statement = own.page(Shape.of(query), walks=False)
        parameters = _parameters_of(query) | {"page_limit": -1}
        async with self.connection.stream(statement, parameters) as rows:
            async for chunk in rows.columns(*Pet._fields).partitions(_EXPORT_ROWS):
                yield chunk

    async def add_once(self, sets: KeyedSets, key_ttl: timedelta) -> dict[str, AddedOnce]:
        s = self.statements
        keys = s.keys.of(keys_of(sets))
        async with self.without_writers():
            await self.fetch(own.FORGET_KEYS, keys | {"key_ttl": key_ttl})
            rows = await self.fetch(s.find_keys, keys)
            new = sets.keys() - {row["key"] for row in rows}
            if new:
                pets = {
                    key_of(key, place): pet for key in new for place, pet in enumerate(sets[key])
                }
                added = await self.fetch(s.add, s.new.of(map(members_of, pets.values())))
                ids = sorted(row["id"] for row in added)
                await self.fetch(own.ADD_KEYS, own.NEW_KEYS.of(zip(pets, ids, strict=True)))
                rows = await self.fetch(s.find_keys, keys)
        return added_sets(sets, rows, new)

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
        (found,) = await self.fetch(own.IDS)
        return found["given"], found["highest"]

    async def raise_ids(self, id_: int) -> None:
        """Let no id up to this one be given. It must be within `without_writers`."""
        self._check_room()
        await sqlite_load.raise_sequence(self._driver, id_)

    async def _raise_if_no_ids(self, error: Exception) -> None:
        """Raise `NoIdsLeft` for an error by which SQLite says that the disk is full.

        It says the same when there are no ids left. An insert of many pets may have come close to
        the end of the ids, and was undone.
        """
        if outcome_of(error) is Outcome.DISK and max(await self.ids()) > MAX_ID - _MANY:
            raise NoIdsLeft from error

    @asynccontextmanager
    async def without_writers(self) -> AsyncIterator[None]:
        """Run statements as one transaction, in which nobody else writes."""
        await self.fetch(_BEGIN)
        try:
            yield
        except BaseException:
            # It fails if the connection is lost, or if SQLite has rolled back by itself.
            with suppress(SQLAlchemyError):
                await self.fetch(_ROLLBACK)
            raise
        await self.fetch(_COMMIT)

    async def tables(self) -> set[str]:
        """Return the names of the tables."""
        return {row["name"] for row in await self.fetch(own.TABLES)}

    async def missing_grants(self) -> Sequence[str]:
        """SQLite has no users."""
        return []

    def _check_room(self) -> None:
        """Raise `StoreUnavailable` before a change that might never leave `-wal`."""
        if not self._file.has_room():
            reason = f"the disk of {self._file.path} is nearly full"
            raise domain_error(Outcome.DISK) from OSError(reason)


# The engine commits each statement by itself, so its own transactions would do nothing.
_BEGIN: Final = text("BEGIN IMMEDIATE")
_COMMIT: Final = text("COMMIT")
_ROLLBACK: Final = text("ROLLBACK")


def _parameters_of(query: PetQuery) -> Parameters:
    ids = own.STATEMENTS.ids.of((id_,) for id_ in query.ids or ())
    return parameters_of(query, (query.name or "").casefold()) | ids
