"""Requests that are to be served on a condition alone (RFC 9110, section 13).

`If-Modified-Since` and `If-Unmodified-Since` are ignored because no modification date is known
(13.1.3, 13.1.4), and `If-Range` because `Range` is not supported (13.1.5).
"""

import re
from hashlib import blake2b
from typing import Final

from litestar.exceptions import ClientException, HTTPException

from pets.api.strict_json import AnyConnection, headers

_HEADERS: Final = {b"if-match", b"if-none-match"}
_TAG: Final = rb'(W/)?("[!#-~\x80-\xff]*")'
_TAGS: Final = re.compile(_TAG)
_LIST: Final = re.compile(rb"[ \t,]*(?:" + _TAG + rb"[ \t]*(?:,[ \t,]*|$))*")  # 8.8.3, 5.6.1.2


def entity_tag(representation: bytes) -> str:
    """Return a strong tag: that of other bytes is another, that of the same bytes the same."""
    return f'"{blake2b(representation, digest_size=16).hexdigest()}"'


def is_conditional(request: AnyConnection) -> bool:
    return any(name in _HEADERS for name, _ in request.scope["headers"])


def is_met(request: AnyConnection, tag: str | None) -> bool:
    """Return whether `If-None-Match` allows an act on a resource with this tag, or without one.

    Raises `PreconditionFailed` if `If-Match` forbids it, and `ClientException` for a header that
    is malformed.
    """
    known = headers(request, b"if-none-match")
    wanted = headers(request, b"if-match")
    if wanted and not _names("If-Match", wanted, tag, weakly=False):
        raise PreconditionFailed
    return not (known and _names("If-None-Match", known, tag, weakly=True))


def require(request: AnyConnection, tag: str | None) -> None:
    """Raise `PreconditionFailed` unless the resource is as the request's conditions say."""
    if not is_met(request, tag):
        raise PreconditionFailed


class PreconditionFailed(HTTPException):
    status_code = 412
    detail = "What is at this path is not, or no longer, as the request's condition says."


def _names(header: str, values: list[bytes], tag: str | None, *, weakly: bool) -> bool:
    """Return whether a header names the tag; `*` names anything that exists."""
    text = b",".join(values).strip(b" \t")
    if text == b"*":
        return True
    if not _LIST.fullmatch(text):
        raise ClientException(f"The header `{header}` must be `*` or a list of entity tags.")
    if tag is None:
        return False
    wanted = tag.encode()
    return any(name == wanted and (weakly or not weak) for weak, name in _TAGS.findall(text))
