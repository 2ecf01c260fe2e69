"""Keeping `-wal` small, the file that has the newest changes of a SQLite store.

SQLite begins it anew only in a moment at which nobody reads it. Readers that overlap leave none.
"""

import asyncio
import sqlite3
from contextlib import closing
from typing import Final

from pets.adapters.sqlalchemy.sqlite_file import Access, StoreFile, connect
from pets.domain.errors import StoreUnavailable

MAX_WAL_BYTES: Final = 64 * 1024 * 1024
"""From this size on, writers wait until all readers of `-wal` have ended. New ones need none."""

WAIT_SECONDS: Final = 2
"""How long writers wait at most."""

CHECK_SECONDS: Final = 1
PAUSE_SECONDS: Final = 30
"""How long they do not wait again, if a reader took longer."""


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
