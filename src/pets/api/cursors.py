"""Cursors: the position where a listing goes on, as a text that clients send back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from pets.domain.errors import InvalidQuery
from pets.domain.query import PetQuery, PetSort, Position

CURSOR_RULE: Final = "one that was given with a page of this very query"

MAX_CURSOR_LENGTH: Final = 578
"""The length of the cursor after the longest name and the highest id."""

_VERSION: Final = b"\x01"
_DIGEST_BYTES: Final = 8
_NO_MORE: Final = (None, None, None, None)
_POSITIONS: Final[dict[PetSort, Any]] = {  # Any: mypy knows no type of types.
    PetSort.ID: tuple[int, int],
    PetSort.NAME: tuple[str, int],
    PetSort.AGE: tuple[int, int],
    PetSort.CREATED_AT: tuple[datetime, int],
}


def write_cursor(query: PetQuery) -> str:
    """Return the position of a query as an opaque text.

    It fits only a query with the same filters and the same order.
    """
    after = query.after
    assert after is not None
    position = msgspec.json.encode((after.value, after.id))
    filters = (query.type, query.age_min, query.age_max, query.name)
    order = (query.sort, query.descending)
    ids = None if query.ids is None else sorted(query.ids)
    more = (query.name_is, query.created_from, query.created_to, ids)
    asked: tuple[object, ...] = (*filters, *order)
    if more != _NO_MORE:  # Without these filters, a cursor fits older versions too.
        asked = (*asked, *more)
    digested = _VERSION + position + msgspec.json.encode(asked)
    # The digest needs no secret, because a cursor gives nothing that the query would not give.
    digest = blake2b(digested, digest_size=_DIGEST_BYTES).digest()
    return urlsafe_b64encode(_VERSION + digest + position).decode().rstrip("=")


def read_cursor(text: str, query: PetQuery) -> PetQuery:
    """Return the query with the position that a cursor holds.

    Raises `InvalidQuery` unless `write_cursor` wrote exactly this text for such a query.
    """
    padding = "=" * (-len(text) % 4)
    try:
        position = urlsafe_b64decode(text + padding)[len(_VERSION) + _DIGEST_BYTES :]
        value, id_ = msgspec.json.decode(position, type=_POSITIONS[query.sort])
        positioned = replace(query, after=Position(value, id_))
    except (ValueError, msgspec.DecodeError):
        raise InvalidQuery("cursor", CURSOR_RULE) from None
    if write_cursor(positioned) != text:
        raise InvalidQuery("cursor", CURSOR_RULE)
    return positioned
