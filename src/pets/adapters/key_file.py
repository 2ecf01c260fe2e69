"""API keys in a file, which is read again when it changes."""

import logging
import time
from pathlib import Path
from typing import Final, NamedTuple

from pets.domain.access import ApiKey, InvalidKeys, KeyList, parse_keys, text_of

CHECK_SECONDS: Final = 1
"""How often the file is looked at."""

SETTLE_SECONDS: Final = 1
"""A file that was changed within this time may still be being written, and is not read yet."""

logger = logging.getLogger(__name__)


class _Version(NamedTuple):
    changed: float
    size: int
    number: int


class KeyFile:
    """The keys of a file. If it becomes broken, its last good keys stay valid.

    Raises `InvalidKeys` if the file is broken from the start.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._version = self._find_version()
        self._keys = self._read()
        self._checked = time.monotonic()

    def find(self, secret: bytes) -> ApiKey | None:
        """Return the key that a client presents, if it is valid."""
        self.check()
        return self._keys.find(secret)

    def check(self) -> None:
        """Read the file again if it has changed. It is looked at once a second at most."""
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        version = self._find_version()
        if version == self._version or _may_be_unfinished(version):
            return
        self._version = version
        try:
            self._keys = self._read()
        except InvalidKeys as error:
            logger.error("The API keys stay as they were: %s", error)  # noqa: TRY400  # It is no bug.
        else:
            logger.info("The API keys were read again.")

    def _read(self) -> KeyList:
        try:
            return KeyList(parse_keys(text_of(self._path.read_bytes())))
        except OSError as error:
            raise InvalidKeys(f"{self._path}: {error.strerror}") from None
        except InvalidKeys as error:
            raise InvalidKeys(f"{self._path}: {error}") from None

    def _find_version(self) -> _Version | None:
        """Return what changes with the file. A missing file has no version."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return _Version(found.st_mtime, found.st_size, found.st_ino)


def _may_be_unfinished(version: _Version | None) -> bool:
    # A clock that was set back, or is another machine's, must not keep the file from being read.
    return version is not None and 0 <= time.time() - version.changed < SETTLE_SECONDS
