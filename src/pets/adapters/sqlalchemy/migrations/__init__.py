"""The command that brings a database to the newest schema, with Alembic."""

from sqlite3 import OperationalError

from advanced_alchemy.alembic.commands import AlembicCommands
from alembic.util import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from pets.adapters.sqlalchemy.engine import create_config, sqlite_obstacle
from pets.domain.errors import StoreUnavailable


def upgrade(url: URL) -> None:
    """Bring the database to the newest schema. Any number of processes may do so at once.

    It must not be called from a running event loop. Raises `StoreUnavailable`, whose message has
    no password and whose `reason` is the database's own message.
    """
    where = url.set(query={}).render_as_string()  # The password is hidden.
    if obstacle := sqlite_obstacle(url):
        raise StoreUnavailable(f"cannot use {where}: {obstacle}")
    try:
        AlembicCommands(create_config(url)).upgrade()
    except DBAPIError as error:
        raise StoreUnavailable(f"cannot use {where}") from error.driver_exception
    # The driver raises TypeError and ValueError for options and names that it does not know.
    except (CommandError, OSError, OperationalError, TypeError, ValueError) as error:
        raise StoreUnavailable(f"cannot use {where}") from error
