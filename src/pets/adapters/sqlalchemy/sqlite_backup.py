"""Copies of a SQLite store, and the right to put one in its place."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from pets.adapters.sqlalchemy.migrations import upgrade
from pets.adapters.sqlalchemy.sqlite_file import (
    Access,
    check_readable,
    connect,
    lock,
    parts_of,
    primary_code,
)
from pets.domain.errors import StoreUnavailable

_PAGES: Final = 1000
"""How many pages are copied before a signal can end the copy."""

_LEAVE_WAL: Final = "PRAGMA journal_mode = DELETE"
"""Moves all that `-wal` has into the file itself. The next writer makes a new `-wal`."""

_IN_USE: Final = "{} is in use. Stop the service first."


def copy_store(source: Path, target: Path) -> None:
    """Copy a store as it is at one moment. The copy is a single file, which needs no `-wal`.

    Others may write meanwhile. Raises `StoreUnavailable`, also if the store is damaged.
    """
    check_readable(source)
    try:
        with (
            closing(connect(source, Access.READ)) as original,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            # Within one transaction the original stays as it is. Otherwise the copy would begin
            # again after each write of others, and perhaps never end.
            original.execute("BEGIN")
            original.execute("SELECT count(*) FROM sqlite_master").fetchone()
            original.backup(copy, pages=_PAGES, progress=_let_signals_in)
            copy.execute(_LEAVE_WAL)
            (finding,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{source} cannot be copied.") from error
    if finding != "ok":
        raise StoreUnavailable(f"{source} is damaged: {' '.join(finding.split())}")


def _let_signals_in(*_: object) -> None:
    """Python handles signals when it runs a function."""


def copy_backup(backup: Path, target: Path) -> None:
    """Copy a backup, and bring the copy to the schema of this version.

    Raises `StoreUnavailable`, also if it is damaged, or no store of a version that is known.
    """
    copy_store(backup, target)
    try:
        upgrade(URL.create("sqlite+aiosqlite", database=str(target)))
        with closing(connect(target, Access.WRITE)) as copy:
            copy.execute(_LEAVE_WAL)
    except (StoreUnavailable, sqlite3.Error) as error:
        raise StoreUnavailable(f"{backup} cannot be restored.") from error.__cause__ or error


@contextmanager
def taken(store: Path) -> Iterator[None]:
    """Keep everybody else from a store until the end of the block, if it exists.

    All that its `-wal` has is moved into the file itself, so another file can take its place.
    Raises `StoreUnavailable` if a service or another program uses the store, even if it is idle.
    """
    if not store.exists():
        yield
        return
    number = os.open(store, os.O_RDONLY)
    try:
        if not lock(number, fcntl.LOCK_EX):
            raise StoreUnavailable(_IN_USE.format(store))
        with closing(connect(store, Access.WRITE, 0)) as connection:
            _lock_others_out(connection, store)
            yield
    finally:
        os.close(number)


def _lock_others_out(connection: sqlite3.Connection, store: Path) -> None:
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # Keep each lock.
        connection.execute(_LEAVE_WAL)
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        code = primary_code(error)
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return  # It is damaged, so nobody can use it.
        if code == sqlite3.SQLITE_BUSY:
            raise StoreUnavailable(_IN_USE.format(store)) from None
        raise StoreUnavailable(f"{store} cannot be replaced.") from error


def remove_companions(store: Path) -> None:
    """Remove what would be taken for a part of the file that comes in the place of a store."""
    for part in parts_of(store)[1:]:
        part.unlink(missing_ok=True)
