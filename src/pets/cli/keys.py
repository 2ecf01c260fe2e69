"""New API keys: `pets keys new`."""

import os
from pathlib import Path

from pets.cli.console import CommandFailed, failures_of, print_document
from pets.domain.access import ApiKey, InvalidKeys, Scope, new_secret, parse_keys
from pets.settings import SettingsError


def make_key(name: str, scope: Scope, file: str | None) -> None:
    """Make a key, print it, and print its line or append that to the file.

    Raises `SettingsError` for a bad name, and `CommandFailed` if the file is broken, has a key of
    this name, or cannot be written.
    """
    secret = new_secret()
    try:
        line = ApiKey.of(name, scope, secret).to_line()
    except InvalidKeys as error:
        raise SettingsError(error) from None
    if file is None:
        print_document(f"key:  {secret}\nline: {line}")
        return
    _append(Path(file), line)
    print_document(f"key:  {secret}")


def _append(path: Path, line: str) -> None:
    with failures_of(str(path)):
        # Only its owner may read a new file.
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(number, "r+", encoding="utf-8") as file:
            try:
                text = file.read()
                if text and not text.endswith("\n"):
                    line = f"\n{line}"
                parse_keys(f"{text}{line}")
            except UnicodeDecodeError:
                raise CommandFailed(f"{path} is not UTF-8") from None
            except InvalidKeys as error:
                raise CommandFailed(f"{path}: {error}") from None
            file.write(f"{line}\n")
