"""Where a listing goes on, as a text for clients to give back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from pets.domain.errors import InvalidQuery
from pets.domain.query import PetQuery, PetSort, Position

CURSOR_RULE: Final = "one that was given with a page of this very query"

_VERSION: Final = b"\x01"
_DIGEST_BYTES: Final = 8
_POSITIONS: Final[dict[PetSort, Any]] = {  # Any: mypy knows no type of types
    PetSort.ID: tuple[int, int],
    PetSort.NAME: tuple[str, int],
    PetSort.AGE: tuple[int, int],
    PetSort.CREATED_AT: tuple[datetime, int],
}


def write_cursor(query: PetQuery) -> str:
    """Return the position of a query as an opaque text, which fits no query that chooses or sorts otherwise."""
    assert query.after is not None
    position = msgspec.json.encode((query.after.value, query.after.id))
    rest = msgspec.json.encode(
        (query.type, query.age_min, query.age_max, query.name, query.sort, query.descending)
    )
    # No secret: a cursor gives nothing that the query would not give anyway. What is altered is found out.
    digest = blake2b(_VERSION + position + rest, digest_size=_DIGEST_BYTES).digest()
    return urlsafe_b64encode(_VERSION + digest + position).decode().rstrip("=")


def read_cursor(text: str, query: PetQuery) -> PetQuery:
    """Return the query with the position that a cursor holds. Raises `InvalidQuery` unless it was written for this."""
    try:
        position = urlsafe_b64decode(text + "=" * (-len(text) % 4))[1 + _DIGEST_BYTES :]
        value, id_ = msgspec.json.decode(position, type=_POSITIONS[query.sort])
        found = replace(query, after=Position(value, id_))
    except (ValueError, msgspec.DecodeError):
        raise InvalidQuery("cursor", CURSOR_RULE) from None
    if write_cursor(found) != text:
        raise InvalidQuery("cursor", CURSOR_RULE)
    return found
