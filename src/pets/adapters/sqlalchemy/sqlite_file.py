"""The file of a SQLite store: what it is, how it is opened, and whether it is still the same.

SQLite keeps the newest changes in a second file, `-wal`, which belongs to the first.
"""

import fcntl
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from sqlalchemy import URL

from pets.adapters.sqlalchemy.models import (
    REVISION,
    SHARED_VERSION_TABLE,
    VERSION_TABLE,
    version_of,
)
from pets.domain.errors import StoreUnavailable


class Access(Enum):
    """What a process wants from a store."""

    CREATE = "rwc"
    WRITE = "rw"
    READ = "ro"
    """It creates no file and changes none."""


STORE_FILE: Final = "store_file"
"""The execution option of an engine that has its `StoreFile`."""

SPARE_BYTES: Final = 1024 * 1024
"""How much of the disk must be free, beside the room that `-wal` needs to be emptied."""

COMPANIONS: Final = ("wal", "shm", "journal")
"""The ends of the names of the files that SQLite puts beside its own."""

FORBID_WRITES: Final = "PRAGMA query_only = 1"

_LOOK_SECONDS: Final = 5


def path_of(url: URL) -> Path | None:
    """Return the file of a SQLite store, and None for another store."""
    if url.get_backend_name() != "sqlite":
        return None
    return Path(url.database or "").absolute()


def beside(file: Path, name: str) -> Path:
    """Return the file that SQLite puts beside its own. It follows a link before."""
    file = file.resolve()
    return file.with_name(f"{file.name}-{name}")


def obstacle(file: Path) -> str:
    """Return why this process cannot write to a store, or "" if it can.

    SQLite also writes to two files beside its own, so it must be able to write to the folder.
    """
    if not file.parent.is_dir():
        return "there is no such folder"
    if file.exists() and not file.is_file():
        return f"{file} is {_kind(file)}"
    for path in (file, beside(file, "wal"), beside(file, "shm"), file.parent):
        if path.exists() and not os.access(path, os.W_OK):
            return f"{path} is read-only"
    with suppress(sqlite3.Error), closing(connect(file, Access.READ)) as connection:
        return _wrong_encoding(connection)
    return ""


def connect(file: Path, access: Access, seconds: float = _LOOK_SECONDS) -> sqlite3.Connection:
    """Open a store without SQLAlchemy. Statements wait so many seconds for a lock at most."""
    uri = f"file:{quote(str(file))}?{urlencode(_options(file, access))}"
    connection = sqlite3.connect(uri, timeout=seconds, isolation_level=None, uri=True)
    if access is Access.READ:
        connection.execute(FORBID_WRITES)
    return connection


def _options(file: Path, access: Access) -> Mapping[str, str]:
    if access is not Access.READ:
        return {"mode": access.value}
    has_writer = any(beside(file, name).exists() for name in ("wal", "journal"))
    if has_writer:
        return {"mode": "ro"}
    # To read a file in WAL mode, SQLite needs the files that it shares with writers.
    if os.access(file, os.W_OK) and os.access(file.parent, os.W_OK):
        # With the right to write, it also deletes them in the end.
        return {"mode": "rw"}
    # It cannot create them. No writer has created them either, so nobody writes now.
    return {"mode": "ro", "immutable": "1"}


def check_readable(file: Path) -> None:
    """Raise `StoreUnavailable`, with the reason, if this is no store. It is not changed."""
    if not file.exists():
        raise StoreUnavailable(f"There is no file {file}.")
    if not file.is_file():
        raise StoreUnavailable(f"{file} is {_kind(file)}.")
    try:
        with closing(connect(file, Access.READ)) as connection:
            if wrong := _wrong_encoding(connection):
                raise StoreUnavailable(f"{file}: {wrong}.")
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in names}
    except sqlite3.Error as error:
        if primary_code(error) == sqlite3.SQLITE_NOTADB:
            raise StoreUnavailable(f"{file} is not a SQLite database.") from None
        raise StoreUnavailable(f"{file} cannot be read.") from error
    if not tables:
        raise StoreUnavailable(f"{file} is empty; `pets migrate` makes it a store.")
    # The store of any version has these. Its revision is looked at later.
    if "pets" not in tables or tables.isdisjoint({VERSION_TABLE, SHARED_VERSION_TABLE}):
        raise StoreUnavailable(f"{file} is the database of another application.")


def has_newest_schema(file: Path) -> bool:
    """Whether this is a store that no migration would change. It is not, if it cannot be read."""
    try:
        with closing(connect(file, Access.READ)) as connection:
            revisions = connection.execute(str(version_of(VERSION_TABLE))).fetchall()
    except sqlite3.Error:
        return False
    return revisions == [(REVISION,)]


def primary_code(error: sqlite3.Error) -> int:
    """Return the code of an error without its details, and 0 for an error of Python's module."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _kind(file: Path) -> str:
    return "a folder" if file.is_dir() else "not a regular file"


def _wrong_encoding(connection: sqlite3.Connection) -> str:
    (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    if encoding == "UTF-8":
        return ""
    return f"a database in UTF-8 is needed; this one is in {encoding}"


def parts_of(file: Path) -> list[Path]:
    """Return the files that a store consists of, or will consist of when it is written to."""
    return [file.resolve(), *(beside(file, name) for name in COMPANIONS)]


class StoreFile:
    """The file that a SQLite store had at its start. Another file at its path is another store.

    Changes would be lost in a file that has no name any more. And with new connections to another
    file, a service would show two stores by turns.
    """

    def __init__(self, path: Path, access: Access = Access.WRITE) -> None:
        self.path = path
        self.access = access
        self._wal = beside(path, "wal")
        self._first = _identity(path)

    def url(self) -> URL:
        """Return the URL with which SQLAlchemy opens it."""
        options = {"uri": "true", **_options(self.path, self.access)}
        name = f"file:{quote(str(self.path))}"
        return URL.create("sqlite+aiosqlite", database=name, query=options)

    def check(self) -> None:
        """Raise `StoreUnavailable` if the path leads to another file now. It takes 2 µs."""
        if self._first and _identity(self.path) != self._first:
            raise StoreUnavailable("The file of the store was moved, deleted or replaced.")

    def wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0

    def has_room(self) -> bool:
        """Whether the disk has room to move all that `-wal` has into the file itself.

        Without it `-wal` could never become shorter. It takes 6 µs.
        """
        try:
            disk = os.statvfs(self._wal.parent)
        except OSError:
            return True
        if not disk.f_blocks:  # This file system does not say.
            return True
        return disk.f_bavail * disk.f_frsize >= self.wal_bytes() + SPARE_BYTES


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def hold(path: Path) -> StoreFile:
    """Mark a store as in use until this process, and those that it forks, have ended.

    While it is marked, the number of a deleted file is not given to a new one either. Call this
    in a process that has no connections, because closing a file would end SQLite's locks on it.
    Raises `StoreUnavailable`, also if the store is being restored.
    """
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened.") from error
    if not lock(number, fcntl.LOCK_SH):
        raise StoreUnavailable(f"{path} is being restored.")
    return StoreFile(path)


def lock(number: int, kind: int) -> bool:
    """Lock an open file, shared or exclusively, and return whether that was possible.

    SQLite has other locks. They do not show a service that is idle.
    """
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
