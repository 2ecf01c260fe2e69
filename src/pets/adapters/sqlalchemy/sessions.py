"""A connection for the length of an `async with`, on which statements are run.

There are two kinds. `ConnectionSession` is SQLAlchemy's own connection. `DriverSession` is for the
calls of requests to PostgreSQL: SQLAlchemy writes a statement, compiles it once, and lends the
connection, and asyncpg runs the text. That takes half as long (docs/decisions/0028).
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, Self

import asyncpg
from sqlalchemy import Executable, PoolProxiedConnection
from sqlalchemy.dialects.postgresql import asyncpg as dialect
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pets.adapters.sqlalchemy.failures import (
    FAILURES,
    Outcome,
    cause_of,
    connect_error,
    domain_error,
    leaves_connection_unusable,
)
from pets.adapters.sqlalchemy.postgresql_session import UNREPLICATED
from pets.adapters.sqlalchemy.statements import Parameters, Rows, compiled
from pets.domain.errors import OutcomeUnknown

DIALECT: Final = dialect.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's


class ConnectionSession:
    """SQLAlchemy's connection of an engine."""

    connection: AsyncConnection

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def __aenter__(self) -> Self:
        try:
            self.connection = await self._engine.connect()
        except FAILURES as error:
            raise connect_error(error) from cause_of(error)
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None and self.must_be_replaced(error):
            await self.connection.invalidate()
        await self.connection.close()

    def must_be_replaced(self, error: BaseException) -> bool:
        """Whether the connection cannot be used again after this error."""
        return leaves_connection_unusable(error)

    async def fetch(self, statement: Executable, parameters: Parameters | None = None) -> Rows:
        """Run a statement, and return its rows."""
        result = await self.connection.execute(statement, parameters)
        if not result.returns_rows:
            return []
        return result.mappings().all()


class DriverSession:
    """The driver's connection, which SQLAlchemy's pool lends."""

    _driver: asyncpg.Connection

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def __aenter__(self) -> Self:
        try:
            self._lent = await self._lend()
        except FAILURES as error:  # Nothing was sent.
            raise connect_error(error) from cause_of(error)
        driver = self._lent.driver_connection
        assert isinstance(driver, asyncpg.Connection)
        self._driver = driver
        return self

    async def _lend(self) -> PoolProxiedConnection:
        try:
            # To lend an idle connection, the pool waits for nothing. So it needs no greenlet, which
            # would take 30 µs, because it has a stack of its own (docs/decisions/0028).
            return self._engine.pool.connect()
        except MissingGreenlet:
            return await self._engine.raw_connection()

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None and self._lent.info[UNREPLICATED]:
            self._lent.invalidate()
            raise domain_error(Outcome.UNKNOWN)
        if leaves_connection_unusable(error):
            self._lent.invalidate()  # This closes it at once.
        else:
            self._lent.close()  # This gives it back to the pool.

    def fetch(self, statement: Executable, parameters: Parameters | None = None) -> Awaitable[Rows]:
        return fetch(self._driver, statement, parameters)


async def fetch(
    driver: asyncpg.Connection, statement: Executable, parameters: Parameters | None = None
) -> Rows:
    """Run a statement on the driver of PostgreSQL, and return its rows."""
    sql, names = compiled(statement, DIALECT)
    values = [parameters[name] for name in names] if parameters else ()
    rows: Rows = await driver.fetch(sql, *values)
    return rows


async def finish(commit: Awaitable[object]) -> None:
    """Wait for the commit however often cancelled, because it must not be reported as not done.

    Raises `OutcomeUnknown` if the loop ends before.
    """
    task = asyncio.ensure_future(commit)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    if task.cancelled():
        raise OutcomeUnknown("The commit was cut off.")
    task.result()
