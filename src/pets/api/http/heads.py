"""Checks of the head of a request, where the parser is too lenient (RFC 9112)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from litestar.exceptions import ClientException, HTTPException

MAX_HEAD_BYTES: Final = 64 * 1024
"""The size of the longest head: the request line, and a line `name: value` for each field."""

# host [":" port] of RFC 3986: an address in brackets, or a name that may be empty. The name is
# possessive (`++`, `*+`), because a long bad name would be tried again and again otherwise.
_ADDRESS: Final = rb"\[(?:[0-9A-Fa-f:.]+|v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+)\]"
_NAME: Final = rb"(?:[\w.~!$&'()*+,;=-]++|%[0-9A-Fa-f]{2})*+"
_HOST: Final = re.compile(rb"(?:" + _ADDRESS + rb"|" + _NAME + rb")(?::[0-9]*)?")
_ABSOLUTE_FORM: Final = re.compile(rb"https?://([^/?#:][^/?#]*)", re.IGNORECASE)

Headers = Sequence[tuple[bytes, bytes]]


class HeadTooLarge(HTTPException):
    status_code = 431
    detail = f"The header or trailer fields are over {MAX_HEAD_BYTES} bytes."


class TransferCodingRefused(ClientException):
    detail = "The only Transfer-Encoding that is served is `chunked`, from HTTP/1.1 on."


def check_size(method: bytes, url: bytes, headers: Headers) -> None:
    """Raise `HeadTooLarge` for a head of more than MAX_HEAD_BYTES."""
    size = len(method) + len(url) + len(b"  HTTP/1.1\r\n\r\n")
    for name, value in headers:
        size += len(name) + len(value) + len(b": \r\n")
    if size > MAX_HEAD_BYTES:
        raise HeadTooLarge


def check_head(version: str, headers: Headers) -> None:
    """Raise `HTTPException` for a head that httptools accepts although it must be refused."""
    if version not in {"1.0", "1.1"}:
        raise ClientException("Only HTTP/1.1 and HTTP/1.0 are served.")
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _is_host(value):
                raise ClientException("The header Host is not a host with an optional port.")
        elif name == b"transfer-encoding" and (version == "1.0" or value.lower() != b"chunked"):
            # RFC 9112, 6.1 asks for 501 where a coding is unknown. But no request, however
            # hostile, may look like a failure of the service.
            raise TransferCodingRefused
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise ClientException("The header Host must be sent exactly once.")


@lru_cache(maxsize=64)
def _is_host(value: bytes) -> bool:
    # An empty host is valid by its grammar. Which names are right is for `KnownHosts` to say.
    return _HOST.fullmatch(value) is not None


def split_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes]:
    """Return the host of a request target (RFC 9112, 3.2), if it names one, and its path and query.

    Raises `ClientException` for a target that is neither a path nor a URL, nor the `*` of OPTIONS.
    """
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return None, target
    absolute = _ABSOLUTE_FORM.match(target)
    if not absolute or not _is_host(absolute[1]):
        raise ClientException("The request target is neither a path nor a valid http URL.")
    rest = target[absolute.end() :]
    return absolute[1], rest if rest.startswith(b"/") else b"/" + rest
