"""A connection for the length of an `async with`, on which statements are run.

There are two kinds: one is SQLAlchemy's own, and `driver.py` has a faster one for the calls of
requests to PostgreSQL.
"""

from typing import Protocol, Self

from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pets.adapters.sqlalchemy.failures import FAILURES, cause_of, connect_error, spoils
from pets.adapters.sqlalchemy.statements import Parameters, Rows, Statements


class Session(Protocol):
    """What runs statements."""

    statements: Statements

    async def fetch(self, statement: Executable, parameters: Parameters | None = None) -> Rows:
        """Run a statement, and return its rows."""
        ...


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
        return spoils(error)

    async def fetch(self, statement: Executable, parameters: Parameters | None = None) -> Rows:
        result = await self.connection.execute(statement, parameters)
        if not result.returns_rows:
            return []
        return result.mappings().all()
