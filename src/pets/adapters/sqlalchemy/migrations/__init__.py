"""The command that brings a database to the newest schema, with Alembic."""

import re
from sqlite3 import OperationalError
from ssl import SSLError
from typing import Final

from advanced_alchemy.alembic.commands import AlembicCommands
from alembic.util import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from pets.adapters.sqlalchemy.engine import create_config, sqlite_obstacle
from pets.domain.errors import StoreUnavailable, StoreUnreachable

# Connections are lost or rejected, because too many are open, or the server starts or stops.
_UNREACHABLE: Final = re.compile("08...|53300|57P0[123]")


def upgrade(url: URL) -> None:
    """Bring the database to the newest schema. Any number of processes may do so at once.

    It must not be called from a running event loop. Raises `StoreUnavailable`, whose message has
    no password and whose `reason` is the database's own message; it is `StoreUnreachable` if the
    same call may succeed later.
    """
    where = url.set(query={}).render_as_string()  # The password is hidden.
    if obstacle := sqlite_obstacle(url):
        raise StoreUnavailable(f"cannot use {where}: {obstacle}")
    try:
        AlembicCommands(create_config(url)).upgrade()
    except DBAPIError as error:
        raise _failure(where, error.driver_exception) from error.driver_exception
    # The driver raises TypeError and ValueError for options and names that it does not know.
    except (CommandError, OSError, OperationalError, TypeError, ValueError) as error:
        raise _failure(where, error) from error


def _failure(where: str, error: BaseException | None) -> StoreUnavailable:
    message = f"cannot use {where}"
    sqlstate = getattr(error, "sqlstate", None) or ""
    is_about_network = isinstance(error, OSError) and not isinstance(error, SSLError)
    if is_about_network or _UNREACHABLE.fullmatch(sqlstate):
        return StoreUnreachable(message)
    return StoreUnavailable(message)
