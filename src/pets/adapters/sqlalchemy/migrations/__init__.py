"""The schema's history, applied by Alembic."""

from sqlite3 import OperationalError

from advanced_alchemy.alembic.commands import AlembicCommands
from alembic.util import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from pets.adapters.sqlalchemy.engine import create_config, sqlite_obstacle
from pets.domain.errors import StoreUnavailable


def upgrade(url: URL) -> None:
    """Bring the database to the newest schema; any number of processes may do so at once.

    Not to be called from a running event loop. Raises `StoreUnavailable`, in words that hold no
    password; its `reason` says what the database said.
    """
    where = url.set(query={}).render_as_string()  # which hides the password
    if obstacle := sqlite_obstacle(url):
        raise StoreUnavailable(f"cannot use {where}: {obstacle}")
    try:
        AlembicCommands(create_config(url, statement_seconds=None)).upgrade()
    except DBAPIError as error:
        raise StoreUnavailable(f"cannot use {where}") from error.driver_exception
    # TypeError and ValueError: options and names that the driver does not know
    except (CommandError, OSError, OperationalError, TypeError, ValueError) as error:
        raise StoreUnavailable(f"cannot use {where}") from error
