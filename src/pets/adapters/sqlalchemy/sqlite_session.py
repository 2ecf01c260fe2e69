"""What every connection to SQLite needs."""

from typing import Any


def create_casefold(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Let SQL fold case as the domain does."""
    connection.create_function("casefold", 1, str.casefold, deterministic=True)


def write_safely(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Let readers work beside a writer, and let commits survive a power cut."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()
