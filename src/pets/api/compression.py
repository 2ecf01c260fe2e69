"""Which clients get documents compressed. Each is compressed once, not for each answer."""

import gzip
import re
from typing import Final

from pets.asgi import Header, Scope, header_values

VARY: Final[Header] = (b"vary", b"Accept-Encoding")
GZIP: Final[Header] = (b"content-encoding", b"gzip")

_MAX_CODINGS: Final = 20
"""Clients send up to 6. To read the 65,000 that a head may hold would take 12 ms."""

_NEVER: Final = re.compile(rb"q=0(\.0{0,3})?")  # RFC 9110, 12.4.2


def compress(body: bytes) -> bytes:
    """Return the body in gzip, with the same bytes in every process."""
    return gzip.compress(body, compresslevel=6, mtime=0)


def accepts_gzip(scope: Scope) -> bool:
    """Return whether the client accepts gzip by its name (RFC 9110, 12.5.3)."""
    accepted = b",".join(header_values(scope, b"accept-encoding")).lower()
    for part in accepted.split(b",", _MAX_CODINGS):
        coding, _, weight = part.partition(b";")
        if coding.strip() == b"gzip":
            return not _NEVER.fullmatch(weight.strip())
    return False
