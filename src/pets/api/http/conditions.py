"""Requests that are to be served on a condition alone (RFC 9110, section 13).

`If-Modified-Since` and `If-Unmodified-Since` are ignored because no modification date is known
(13.1.3, 13.1.4), and `If-Range` because `Range` is not supported (13.1.5).
"""

import re
from hashlib import blake2b
from typing import Final

from litestar.exceptions import ClientException, HTTPException

from pets.api.strict_json import AnyConnection, headers

_TAG: Final = r'(W/)?("[!#-~\x80-\xff]*")'

# RFC 9110, 8.8.3; elements of a list may be empty (5.6.1.2).
TAGS_PATTERN: Final = rf"\*|[ \t,]*({_TAG}([ \t]*,[ \t,]*{_TAG})*[ \t,]*)?"

_ONE_TAG: Final = re.compile(_TAG.encode())
_TAGS: Final = re.compile(TAGS_PATTERN.encode())
_HEADERS: Final = {b"if-match", b"if-none-match"}


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
    wanted = headers(request, b"if-match")
    unwanted = headers(request, b"if-none-match")
    # Both are read before either decides, so that a malformed one is always refused.
    is_wanted = not wanted or _names("If-Match", wanted, tag, weakly=False)
    is_unwanted = bool(unwanted) and _names("If-None-Match", unwanted, tag, weakly=True)
    if not is_wanted:
        raise PreconditionFailed
    return not is_unwanted


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
    if not _TAGS.fullmatch(text):
        raise ClientException(f"The header `{header}` must be `*` or a list of entity tags.")
    if tag is None:
        return False
    wanted = tag.encode()
    return any(name == wanted and (weakly or not weak) for weak, name in _ONE_TAG.findall(text))
