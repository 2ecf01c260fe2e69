"""The command that brings a database to the newest schema, with Alembic."""

from ssl import SSLError
from typing import Final

from sqlalchemy import URL

from pets.adapters.sqlalchemy.engine import create_config
from pets.adapters.sqlalchemy.failures import FAILURES, Outcome, cause_of, outcome_of
from pets.adapters.sqlalchemy.sqlite_file import (
    Access,
    StoreFile,
    has_newest_schema,
    obstacle,
    path_of,
)
from pets.domain.errors import StoreUnavailable, StoreUnreachable

# The migration is one transaction, which can be repeated even if it may have been done.
_PASSING: Final = {Outcome.NOT_NOW, Outcome.CONFLICT, Outcome.UNKNOWN}


def upgrade(url: URL, seconds: float | None = None) -> None:
    """Bring the database to the newest schema. Any number of processes may do so at once.

    With `seconds`, no statement takes longer. It must not be called from a running event loop.
    Raises `StoreUnavailable`, whose message has no password and whose `reason` is the database's
    own message; it is `StoreUnreachable` if the same call may succeed later.
    """
    where = url.set(query={}).render_as_string()  # The password is hidden.
    path = path_of(url)
    created = StoreFile(path, Access.CREATE) if path else None
    if path and (problem := obstacle(path)):
        raise StoreUnavailable(f"cannot use {where}: {problem}")
    if path and has_newest_schema(path):
        return
    # A start that finds the newest schema saves the 100 ms that it takes to load Alembic.
    from advanced_alchemy.alembic.commands import AlembicCommands  # noqa: PLC0415  # See above.
    from alembic.util import CommandError  # noqa: PLC0415  # See above.

    try:
        AlembicCommands(create_config(url, seconds=seconds, file=created)).upgrade()
    # The driver raises TypeError and ValueError for options and names that it does not know.
    except (*FAILURES, CommandError, TypeError, ValueError) as error:
        cause = cause_of(error)
        failure = StoreUnreachable if _may_pass(cause, url) else StoreUnavailable
        raise failure(f"cannot use {where}") from cause


def _may_pass(error: BaseException, url: URL) -> bool:
    if isinstance(error, SSLError | ValueError):  # An InterfaceError may be a ValueError too.
        return False
    if isinstance(error, FileNotFoundError):
        # A server that starts makes its socket. With a host, a file for TLS is missing.
        return not url.host or url.host.startswith("/")
    return outcome_of(error) in _PASSING
