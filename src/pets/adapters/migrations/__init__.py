"""The schema's history, applied by Alembic."""

from pathlib import Path

from advanced_alchemy.alembic.commands import AlembicCommands
from alembic.util import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from pets.adapters.engine import create_config
from pets.domain.errors import StoreUnavailable


def upgrade(url: URL) -> None:
    """Bring the database to the newest schema; any number of processes may do so at once.

    Not to be called from a running event loop. Raises `StoreUnavailable`, in one line that holds no password.
    """
    where = url.set(query={}).render_as_string()  # which hides the password
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").parent.is_dir():
        raise StoreUnavailable(f"cannot use {where}: there is no such folder")
    try:
        AlembicCommands(create_config(url, statement_seconds=None)).upgrade()
    # TypeError and ValueError: options and names that the driver does not know
    except (DBAPIError, CommandError, OSError, TypeError, ValueError) as error:
        cause = error.driver_exception if isinstance(error, DBAPIError) else error
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        raise StoreUnavailable(f"cannot use {where}: {reason}") from error
