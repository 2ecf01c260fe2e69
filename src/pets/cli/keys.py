"""New API keys: `pets keys new`."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pets.cli.console import CommandFailed, failures_of, print_document
from pets.domain.access import ApiKey, InvalidKeys, Scope, new_secret, parse_keys, text_of
from pets.settings import SettingsError


def make_key(name: str, scope: Scope, file: str | None) -> None:
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
    except BrokenPipeError as error:  # Nobody has seen the key.
        raise CommandFailed(f"standard output: {error.strerror}") from None


@contextmanager
def _adding(path: Path, line: str) -> Iterator[None]:
    """Write the file anew, with one line more. It takes its place if this block succeeds."""
    target = Path(os.path.realpath(path))  # what a link points to
    with failures_of(str(path)), _locked(target.parent) as folder:
        old = _find(target)
        text = _with_line(target.read_bytes() if old else b"", line, path)
        number, part = tempfile.mkstemp(
            prefix=".pets-keys-", dir=target.parent
        )  # its owner's alone
        try:
            with os.fdopen(number, "wb") as new:
                if old:
                    os.fchown(number, old.st_uid, old.st_gid)
                    os.fchmod(number, stat.S_IMODE(old.st_mode))
                new.write(text.encode())
                new.flush()
                os.fsync(number)
            yield
            Path(part).replace(target)
            os.fsync(folder)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Let others that add keys in this folder wait. Give its file descriptor."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield number
    finally:
        os.close(number)


def _find(path: Path) -> os.stat_result | None:
    """Return the state of the file, if there is one. Raises `CommandFailed` for a device."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise CommandFailed(f"{path} is not a regular file")
    return found


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
