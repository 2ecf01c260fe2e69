"""The file of API keys: `pets keys new`, `pets keys list` and `pets keys revoke`."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pets.api.api_keys import ApiKey, InvalidKeys, KeyScope, new_secret, parse_keys, text_of
from pets.cli.console import CommandFailed, ReaderGone, failures_of, print_document, say
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
    with _rewriting(Path(file), lambda text: f"{text}{line}\n"):
        _print_key(secret)


def print_keys(file: str) -> None:
    """Print the name and the scope of each key in the file. Raises `CommandFailed`."""
    with _failures_of(file):
        keys = parse_keys(text_of(Path(file).read_bytes()))
    width = max(len(key.name) for key in keys)
    print_document("\n".join(f"{key.name:<{width}}  {key.scope}" for key in keys))


def revoke_key(name: str, file: str) -> None:
    """Remove the line of a key from the file.

    Raises `CommandFailed` if the file has no key of this name or no other, is broken, or cannot be
    written. Then it stays as it was.
    """
    with _failures_of(file):
        Path(file).stat()  # A missing file is not made.
    with _rewriting(Path(file), lambda text: _without(name, text, file)):
        pass
    say(f"revoked {name}")


def _print_key(secret: str) -> None:
    try:
        print_document(f"key:  {secret}")
    except ReaderGone as error:  # Nobody has seen the key.
        raise CommandFailed(str(error)) from None


def _without(name: str, text: str, file: str) -> str:
    keys = {key.name for key in parse_keys(text)}
    if name not in keys:
        raise CommandFailed(f"{file}: there is no key {name!r}")
    if len(keys) == 1:
        # A service would take a file without keys for a broken one, and accept the key for ever.
        raise CommandFailed(f"{file}: {name!r} is the only key; add another one first")
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[:1] != [name])


@contextmanager
def _failures_of(file: str) -> Iterator[None]:
    """Turn a failure to read or write the file, and a mistake in it, into `CommandFailed`."""
    try:
        with failures_of(file):
            yield
    except InvalidKeys as error:
        raise CommandFailed(f"{file}: {error}") from None


@contextmanager
def _rewriting(path: Path, edit: Callable[[str], str]) -> Iterator[None]:
    """Write the file anew, edited. The new one takes its place if this block succeeds.

    A service never reads a part of it.
    """
    target = Path(os.path.realpath(path))  # what a link points to
    with _failures_of(str(path)), _locked(target.parent):
        if is_special(target):
            raise CommandFailed(f"{path} is not a regular file")
        old = target.stat() if target.exists() else None
        text = text_of(target.read_bytes()) if old else ""
        if text and not text.endswith("\n"):
            text += "\n"
        edited = edit(text)
        parse_keys(edited)
        with replacing(target, mode=_OWNER_ONLY) as new:
            # Otherwise the service could perhaps not read the keys any more.
            if old and (old.st_uid, old.st_gid) != (new.stat().st_uid, new.stat().st_gid):
                raise CommandFailed(f"{path}: only its owner can change it")
            new.write_bytes(edited.encode())
            yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let others that change keys in this folder wait."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
