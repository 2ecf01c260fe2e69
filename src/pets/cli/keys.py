"""New API keys: `pets keys new`."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pets.api.api_keys import ApiKey, InvalidKeys, KeyScope, new_secret, parse_keys, text_of
from pets.cli.console import CommandFailed, ReaderGone, failures_of, print_document
from pets.cli.files import is_special, replacing
from pets.settings import SettingsError

_OWNER_ONLY: Final = 0o600
"""The rights of a new file of keys."""


def make_key(name: str, scope: KeyScope, file: str | None) -> None:
    """Make a key, print it, and print its line or add that to the file.

    Raises `SettingsError` for a bad name, and `CommandFailed` if the file is broken, has a key of
    this name, or cannot be written, or if the key cannot be printed. Then nothing was added.
    """
    secret = new_secret()
    try:
        line = ApiKey.of(name, scope, secret).to_line()
    except InvalidKeys as error:
        raise SettingsError(error) from None
    if file is None:
        print_document(f"key:  {secret}\nline: {line}")
        return
    with _adding(Path(file), line):
        _print_key(secret)


def _print_key(secret: str) -> None:
    try:
        print_document(f"key:  {secret}")
    except ReaderGone as error:  # Nobody has seen the key.
        raise CommandFailed(str(error)) from None


@contextmanager
def _adding(path: Path, line: str) -> Iterator[None]:
    """Write the file anew, with one line more. It takes its place if this block succeeds."""
    target = Path(os.path.realpath(path))  # what a link points to
    with failures_of(str(path)), _locked(target.parent):
        if is_special(target):
            raise CommandFailed(f"{path} is not a regular file")
        old = target.stat() if target.exists() else None
        text = _with_line(target.read_bytes() if old else b"", line, path)
        with replacing(target, mode=_OWNER_ONLY) as new:
            # Otherwise the service could perhaps not read the keys any more.
            if old and (old.st_uid, old.st_gid) != (new.stat().st_uid, new.stat().st_gid):
                raise CommandFailed(f"{path}: only its owner can add keys")
            new.write_bytes(text.encode())
            yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let others that add keys in this folder wait."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _with_line(file: bytes, line: str, path: Path) -> str:
    """Return the text of a file with one line more. Raises `CommandFailed` if it is then broken."""
    try:
        text = text_of(file)
        if text and not text.endswith("\n"):
            text += "\n"
        text += f"{line}\n"
        parse_keys(text)
    except InvalidKeys as error:
        raise CommandFailed(f"{path}: {error}") from None
    return text
