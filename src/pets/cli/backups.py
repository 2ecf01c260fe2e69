"""Copies of a SQLite store: `pets backup` and `pets restore`."""

from pathlib import Path

from pets.bootstrap.stores import back_up, files_of, restore, sqlite_path, taken_store
from pets.cli.console import CommandFailed, failures_of
from pets.cli.files import is_special, refuse_parts, replacing
from pets.domain.errors import StoreUnavailable
from pets.settings import Settings


def make_backup(settings: Settings, file: str) -> None:
    """Copy the store as it is at one moment to a file, which appears whole or not at all.

    Others may write meanwhile. Raises `CommandFailed`, `StoreUnavailable`, and `SettingsError` for
    a store that is not of SQLite.
    """
    sqlite_path(settings)  # This comes first, because nothing can help another store.
    with failures_of(file):
        _check(file, settings)
        wal = Path(f"{file}-wal")
        if wal.exists():
            raise CommandFailed(f"{file} may be in use, because there is {wal}")
        with replacing(Path(file)) as copy:
            back_up(settings, copy)


def restore_backup(settings: Settings, file: str) -> None:
    """Put a backup in the place of the store, with the schema of this version.

    The store stays as it was if this fails: if anybody uses it, or if the file is no backup or is
    damaged. Raises `CommandFailed`, `StoreUnavailable`, and `SettingsError` as `make_backup` does.
    """
    store = sqlite_path(settings)
    with failures_of(file):
        _check(file, settings)
    with failures_of(str(store)), taken_store(settings), replacing(store) as copy:
        try:
            restore(settings, Path(file), copy)
        except StoreUnavailable as error:  # It is about the backup, and not about the store.
            reason = f" {error.reason}" if error.reason else ""
            raise CommandFailed(f"{error}{reason}") from error


def _check(file: str, settings: Settings) -> None:
    if file == "-":  # In other commands this is standard input or output.
        raise CommandFailed("-: SQLite needs a file, and no stream")
    refuse_parts(file, files_of(settings))
    if is_special(Path(file)):
        raise CommandFailed(f"{file} is not a regular file")
