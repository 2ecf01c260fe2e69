"""Running SQLAlchemy's statements on the driver of PostgreSQL, for the calls of requests.

SQLAlchemy writes a statement, compiles it once, and lends the connection. asyncpg runs the text.
Through SQLAlchemy's own connection a lone call takes twice as long (docs/decisions/0028).
"""

from typing import Final, Self

import asyncpg
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import asyncpg as dialect
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.failures import (
    FAILURES,
    Meaning,
    cause_of,
    connect_error,
    domain_error,
    spoils,
)
from pets.adapters.sqlalchemy.postgresql_session import UNREPLICATED
from pets.adapters.sqlalchemy.statements import Parameters, Rows, compiled

DIALECT: Final = dialect.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's


async def fetch(
    driver: asyncpg.Connection, statement: Executable, parameters: Parameters | None = None
) -> Rows:
    """Run a statement, and return its rows."""
    sql, names = compiled(statement, DIALECT)
    values = [parameters[name] for name in names] if parameters else ()
    rows: Rows = await driver.fetch(sql, *values)
    return rows


class DriverSession:
    """The driver's connection, which SQLAlchemy's pool lends."""

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

    async def fetch(self, statement: Executable, parameters: Parameters | None = None) -> Rows:
        return await fetch(self._driver, statement, parameters)
