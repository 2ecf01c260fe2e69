"""What every connection to SQLite needs."""

from typing import Any, Final

from pets.adapters.sqlalchemy.sqlite_file import FORBID_WRITES

MAX_IDLE_WAL_BYTES: Final = 4 * 1024 * 1024
"""What is left of the file `-wal` when a checkpoint has emptied it. It usually needs as much."""


def create_casefold(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Let SQL fold case as the domain does."""
    connection.create_function("casefold", 1, str.casefold, deterministic=True)


def write_safely(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Let readers work beside a writer, and let commits survive a power cut."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA journal_size_limit = {MAX_IDLE_WAL_BYTES}")
    cursor.close()


def only_read(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Refuse to write, also where SQLite needs the right to write in order to read."""
    cursor = connection.cursor()
    cursor.execute(FORBID_WRITES)
    cursor.close()
