"""A file of SQLite as the store of a scenario."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

WRITE_SECONDS: Final = 10


class SQLiteFile:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "pets.db"
        self.url = self.admin_url = f"sqlite+aiosqlite:///{self.path}"

    async def rows(self) -> list[tuple[int, str, int]]:
        """Return id, name and age of every pet of a file that is intact."""
        with closing(sqlite3.connect(self.path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return connection.execute("SELECT id, name, age FROM pets ORDER BY id").fetchall()

    async def connections(self) -> int:
        """Return 0, because the files that a service has open are counted anyway."""
        return 0

    def wait_for_a_write(self) -> None:
        """Return as soon as a transaction is being written, which takes until the disk has it."""
        before = self._last_write()
        end = time.monotonic() + WRITE_SECONDS
        while self._last_write() == before:
            assert time.monotonic() < end, "nothing is written"
            time.sleep(0.0005)

    def _last_write(self) -> int:
        log = Path(f"{self.path}-wal")
        return log.stat().st_mtime_ns if log.exists() else 0

    def files(self) -> list[str]:
        """Return the files that SQLite writes pets to."""
        return [str(self.path), f"{self.path}-wal"]
