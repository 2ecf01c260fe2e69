"""What every connection to SQLite needs, and keeping `-wal` small.

`-wal` is the file that has the newest changes of a store. SQLite begins it anew only in a moment
at which nobody reads it. Readers that overlap leave none.
"""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any, Final

from pets.adapters.sqlalchemy.sqlite_file import FORBID_WRITES, Access, StoreFile, connect
from pets.domain.errors import StoreUnavailable

MAX_IDLE_WAL_BYTES: Final = 4 * 1024 * 1024
"""What is left of the file `-wal` when a checkpoint has emptied it. It usually needs as much."""

MAX_WAL_BYTES: Final = 64 * 1024 * 1024
"""From this size on, writers wait until all readers of `-wal` have ended. New ones need none."""

WAIT_SECONDS: Final = 2
"""How long writers wait at most."""

CHECK_SECONDS: Final = 1
PAUSE_SECONDS: Final = 30
"""How long they do not wait again, if a reader took longer."""


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


async def keep_wal_small(file: StoreFile) -> None:
    """Empty `-wal` whenever it is large, or the disk has little room. This never ends."""
    while True:
        pause = CHECK_SECONDS
        if not file.has_room():
            # Nobody may write until this succeeds.
            await asyncio.to_thread(empty_wal, file, 0)
        elif file.wal_bytes() > MAX_WAL_BYTES and not await asyncio.to_thread(
            empty_wal, file, WAIT_SECONDS
        ):
            pause = PAUSE_SECONDS
        await asyncio.sleep(pause)


def empty_wal(file: StoreFile, seconds: float) -> bool:
    """Empty `-wal`, and return whether this was possible within so many seconds."""
    try:
        file.check()
        with closing(connect(file.path, Access.WRITE, seconds)) as connection:
            (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except (StoreUnavailable, sqlite3.Error):
        return False
    return not is_busy
