"""Running a call on a session of its own, and once more if that is safe."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.failures import Conflict, translated
from pets.adapters.sqlalchemy.postgresql import PostgreSQL, PostgreSQLCommands
from pets.adapters.sqlalchemy.sqlite import SQLite
from pets.domain.errors import OutcomeUnknown, StoreUnavailable

Result = TypeVar("Result")
Session: TypeAlias = PostgreSQL | SQLite
CommandSession: TypeAlias = PostgreSQLCommands | SQLite
AnySession = TypeVar("AnySession", PostgreSQL | SQLite, PostgreSQLCommands | SQLite)
Call: TypeAlias = Callable[[AnySession], Awaitable[Result]]
Lend: TypeAlias = Callable[[], AnySession]


def sessions_of(engine: AsyncEngine) -> Lend[Session]:
    """Return what makes a session for each call of a request. It is an `async with`."""
    is_postgresql = engine.dialect.name == "postgresql"
    return partial(PostgreSQL if is_postgresql else SQLite, engine)


def command_session_of(engine: AsyncEngine) -> CommandSession:
    """Return a session for a command. It begins and ends with an `async with`."""
    is_postgresql = engine.dialect.name == "postgresql"
    return PostgreSQLCommands(engine) if is_postgresql else SQLite(engine)


async def run(
    call: Call[AnySession, Result], lend: Lend[AnySession], *, is_repeatable: bool
) -> Result:
    """Run a call on a session, and once more if it may succeed then.

    A call whose outcome is unknown is repeated only if it `is_repeatable`, because a second time
    then changes nothing that the first one has done.
    """
    may_be_done = False
    try:
        return await _attempt(call, lend)
    except Conflict:
        pass
    except OutcomeUnknown as error:
        has_time = not isinstance(error.__cause__, TimeoutError)
        if not (is_repeatable and has_time):
            raise
        may_be_done = True
    try:
        return await _attempt(call, lend)
    except StoreUnavailable as error:
        if may_be_done:
            raise OutcomeUnknown(str(error)) from error.__cause__
        raise


async def _attempt(call: Call[AnySession, Result], lend: Lend[AnySession]) -> Result:
    async with translated, lend() as session:
        return await call(session)
