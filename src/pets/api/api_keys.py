"""API keys: the callers that may use the service, and the file that lists them.

A file of keys has a line for each key: its name, its scope and its SHA-256 in hex.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, Self

logger = logging.getLogger(__name__)

CHECK_SECONDS: Final = 1
"""The shortest time between two checks whether the file has changed."""

SETTLE_SECONDS: Final = 1
"""A file that was changed within this time may be incomplete, and is not read yet."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_SECRET_BYTES: Final = 32


class KeyScope(StrEnum):
    """The operations that a key allows: reading, or all."""

    READ = "read"
    WRITE = "write"
    """It includes reading."""


class InvalidKeys(Exception):
    """A file of keys is not valid. The message names the line, but shows nothing of it."""


@dataclass(frozen=True)
class ApiKey:
    """The name, the scope and the SHA-256 of a key. The key itself is not kept."""

    name: str
    scope: KeyScope
    digest: bytes

    @classmethod
    def of(cls, name: str, scope: KeyScope, secret: str) -> Self:
        """Return what is kept of a key.

        Raises `InvalidKeys` for a name that is not 1 to 64 letters, digits and `_.-`.
        """
        if not _NAME.fullmatch(name):
            raise InvalidKeys(f"{name!r} is not a name: 1 to 64 letters, digits, and _.- inside")
        return cls(name, scope, digest_of(secret.encode()))

    def to_line(self) -> str:
        """Return the line of a file that holds this key."""
        return f"{self.name} {self.scope} {self.digest.hex()}"


class ApiKeys:
    """The keys that are valid."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = keys

    def find(self, secret: bytes) -> ApiKey | None:
        """Return the key that a client presents, if it is valid.

        The time that this takes does not depend on how much of a digest is right, nor on which key
        is the right one.
        """
        digest = digest_of(secret)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


class _Version(NamedTuple):
    changed: float
    size: int
    number: int


class KeyFile(ApiKeys):
    """The keys of a file, which is read again when it changes.

    If it becomes invalid, its last valid keys stay in force. Raises `InvalidKeys` if the file is
    invalid from the start.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._version = self._find_version()
        super().__init__(self._read())
        self._checked = time.monotonic()

    def find(self, secret: bytes) -> ApiKey | None:
        self.check()
        return super().find(secret)

    def check(self) -> None:
        """Read the file again if it has changed, unless it was checked within CHECK_SECONDS."""
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        version = self._find_version()
        if version == self._version or _may_be_incomplete(version):
            return
        self._version = version
        try:
            self._keys = self._read()
        except InvalidKeys as error:
            logger.error("The API keys stay as they were: %s", error)  # noqa: TRY400  # It is no bug.
        else:
            logger.info("The API keys were read again.")

    def _read(self) -> Sequence[ApiKey]:
        try:
            return parse_keys(text_of(self._path.read_bytes()))
        except OSError as error:
            raise InvalidKeys(f"{self._path}: {error.strerror}") from None
        except InvalidKeys as error:
            raise InvalidKeys(f"{self._path}: {error}") from None

    def _find_version(self) -> _Version | None:
        """Return numbers that change when the file does. A missing file has none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return _Version(found.st_mtime, found.st_size, found.st_ino)


def _may_be_incomplete(version: _Version | None) -> bool:
    # A time in the future does not count, because a clock may have been set back.
    return version is not None and 0 <= time.time() - version.changed < SETTLE_SECONDS


def new_secret() -> str:
    """Return a key of 256 random bits."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: bytes) -> bytes:
    """Return the SHA-256 of a key. A key is random, so it needs no slow hash."""
    return hashlib.sha256(secret).digest()


def text_of(file: bytes) -> str:
    """Return the text of a file of keys, which is UTF-8, or raise `InvalidKeys`.

    The byte order mark that some editors write is left out.
    """
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidKeys("it is not UTF-8") from None


def parse_keys(text: str) -> list[ApiKey]:
    """Return the keys that a file lists. Empty lines, and lines that begin with `#`, are left out.

    Raises `InvalidKeys` for any other line that is not a key, for a name that occurs twice, and
    for a file that may be incomplete: one without a key, or without a line break at its end.
    """
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        key = _parse_line(line)
        if key is None:
            raise InvalidKeys(f"line {number} is not a name, read or write, and a SHA-256 in hex")
        if key.name in keys:
            raise InvalidKeys(f"line {number} has the name of an earlier line")
        keys[key.name] = key
    if not keys:
        raise InvalidKeys("it holds no key")
    if not text.endswith("\n"):
        raise InvalidKeys(
            "its last line has no line break, so it may be cut off: if it is whole, add one"
        )
    return list(keys.values())


def _parse_line(line: str) -> ApiKey | None:
    match line.split():
        case [name, scope, digest] if (
            _NAME.fullmatch(name) and scope in list(KeyScope) and _DIGEST.fullmatch(digest)
        ):
            return ApiKey(name, KeyScope(scope), bytes.fromhex(digest))
        case _:
            return None
