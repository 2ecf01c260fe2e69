"""API keys: who may use the service, and for what."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, Self

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_SECRET_BYTES: Final = 32


class Scope(StrEnum):
    """What a key allows."""

    READ = "read"
    WRITE = "write"
    """Everything, reading too."""


class InvalidKeys(Exception):
    """A list of keys cannot be read. The message says which line, and shows nothing of it."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key. The key itself is not, only its SHA-256."""

    name: str
    scope: Scope
    digest: bytes

    @classmethod
    def of(cls, name: str, scope: Scope, secret: str) -> Self:
        """Raises `InvalidKeys` for a name that is not 1 to 64 letters, digits and `_.-`."""
        if not _NAME.fullmatch(name):
            raise InvalidKeys(f"{name!r} is not a name: 1 to 64 letters, digits, and _.- inside")
        return cls(name, scope, digest_of(secret.encode()))

    def to_line(self) -> str:
        """Return the line of a file that holds this key."""
        return f"{self.name} {self.scope} {self.digest.hex()}"


class ApiKeys(Protocol):
    """The keys that are valid now."""

    def find(self, secret: bytes) -> ApiKey | None:
        """Return the key that a client presents, if it is valid."""
        ...


class KeyList:
    """Keys that do not change."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = keys

    def find(self, secret: bytes) -> ApiKey | None:
        """Return the key that a client presents, if it is valid.

        The time does not tell how much of a digest is right, nor which key is the right one.
        """
        digest = digest_of(secret)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


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
    """Return the keys of a file: a line for each, with its name, its scope and its SHA-256 in hex.

    Lines that are empty or begin with `#` do not count. Raises `InvalidKeys` for any other line,
    for a name that occurs twice, and for a file that may not be complete: one without a key, or
    whose last line has no end.
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
            _NAME.fullmatch(name) and scope in list(Scope) and _DIGEST.fullmatch(digest)
        ):
            return ApiKey(name, Scope(scope), bytes.fromhex(digest))
        case _:
            return None
