"""The command that brings a database to the newest schema, with Alembic."""

from ssl import SSLError
from typing import Final

from advanced_alchemy.alembic.commands import AlembicCommands
from alembic.util import CommandError
from sqlalchemy import URL

from pets.adapters.sqlalchemy.engine import create_config, sqlite_obstacle
from pets.adapters.sqlalchemy.failures import FAILURES, Meaning, cause_of, meaning_of
from pets.domain.errors import StoreUnavailable, StoreUnreachable

# The migration is one transaction, which can be repeated even if it may have been done.
_PASSING: Final = {Meaning.NOT_NOW, Meaning.CONFLICT, Meaning.UNKNOWN}


def upgrade(url: URL, seconds: float | None = None) -> None:
    """Bring the database to the newest schema. Any number of processes may do so at once.

    With `seconds`, no statement takes longer. It must not be called from a running event loop.
    Raises `StoreUnavailable`, whose message has no password and whose `reason` is the database's
    own message; it is `StoreUnreachable` if the same call may succeed later.
    """
    where = url.set(query={}).render_as_string()  # The password is hidden.
    if obstacle := sqlite_obstacle(url):
        raise StoreUnavailable(f"cannot use {where}: {obstacle}")
    try:
        AlembicCommands(create_config(url, seconds=seconds)).upgrade()
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
    return meaning_of(error) in _PASSING
