"""Requests that are to be served on a condition alone (RFC 9110, section 13)."""

import re
from hashlib import blake2b
from typing import Final

from litestar.exceptions import HTTPException

from pets.api.strict_json import AnyConnection, headers

_TAG: Final = re.compile(rb'(W/)?("[^"]*")')


def entity_tag(representation: bytes) -> str:
    """Return a strong tag: that of other bytes is another, that of the same bytes the same."""
    return f'"{blake2b(representation, digest_size=16).hexdigest()}"'


def is_conditional(request: AnyConnection) -> bool:
    return any(name in {b"if-match", b"if-none-match"} for name, _ in request.scope["headers"])


def is_met(request: AnyConnection, tag: str) -> bool:
    """Return whether what has this tag is as `If-None-Match` wants it. Raises 412 if not as `If-Match` does."""
    if (wanted := headers(request, b"if-match")) and not _names(wanted, tag, weakly=False):
        raise PreconditionFailed
    return not _names(headers(request, b"if-none-match"), tag, weakly=True)


class PreconditionFailed(HTTPException):
    status_code = 412
    detail = "The pet is not, or no longer, as the request's condition says; get it again."


def _names(values: list[bytes], tag: str, *, weakly: bool) -> bool:
    given = b",".join(values)
    return given.strip() == b"*" or any(
        name == tag.encode() and (weakly or not weak) for weak, name in _TAG.findall(given)
    )
