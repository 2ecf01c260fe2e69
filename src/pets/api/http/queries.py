"""The query of a URL, read strictly: one with a misspelt filter must not return everything."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from litestar.exceptions import ClientException

from pets.api.http.cursors import CURSOR_RULE, read_cursor, write_cursor
from pets.api.schemas import MAX_IDS, MAX_LIMIT, PetsDelete
from pets.domain.errors import InvalidQuery
from pets.domain.pet import AGE_RULE, CONTROL, MAX_AGE, MAX_NAME_LENGTH, MIN_AGE, TYPE_RULE, PetType
from pets.domain.query import DEFAULT_LIMIT, LIMIT_RULE, PART_RULE, PetQuery, PetSort

_INTEGER: Final = re.compile("-?(0|[1-9][0-9]*)")  # as in JSON
_SORTS: Final = {f"{sign}{sort}": (sort, bool(sign)) for sort in PetSort for sign in ("", "-")}


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    return int(
        text.lstrip("0")[:5] or "0"
    )  # five digits are past every maximum; of thousands int() refuses to read


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError
    return int(text)


class Parameter(NamedTuple):
    read: Callable[[str], Any]
    """Makes a value of a text, or raises `ValueError`; Any: each its own kind."""
    rule: str
    """What the text must be."""
    description: str
    schema: Mapping[str, Any]  # JSON


_AGE_SCHEMA: Final = {"type": "integer", "minimum": MIN_AGE, "maximum": MAX_AGE}
LISTING: Final = {
    "limit": Parameter(
        lambda text: min(_natural(text), MAX_LIMIT),
        LIMIT_RULE,
        f"How many pets to return at most. Above {MAX_LIMIT} it means {MAX_LIMIT}.",
        {"type": "integer", "minimum": 0, "default": DEFAULT_LIMIT, "examples": [DEFAULT_LIMIT]},
    ),
    "cursor": Parameter(
        str,
        CURSOR_RULE,
        'Where to go on. Follow the `Link` of a page whose `rel` is "next" rather than writing this yourself; all but '
        "the limit must be as it was.",
        {"type": "string"},
    ),
    "type": Parameter(
        PetType,
        TYPE_RULE,
        "Only dogs, or only cats.",
        {"enum": sorted(PetType), "examples": ["dog"]},
    ),
    "age_min": Parameter(
        _natural, AGE_RULE, "Only pets of this age or older.", _AGE_SCHEMA | {"examples": [1]}
    ),
    "age_max": Parameter(
        _natural, AGE_RULE, "Only pets of this age or younger.", _AGE_SCHEMA | {"examples": [9]}
    ),
    "name": Parameter(
        str,
        PART_RULE,
        "Only pets whose name contains this, in capitals or small letters. No character means another.",
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_NAME_LENGTH,
            "pattern": f"^[^{CONTROL}]*$",
            "examples": ["bo"],
        },
    ),
    "sort": Parameter(
        _SORTS.__getitem__,
        f"one of {', '.join(_SORTS)}",
        "What to sort by; with `-` the other way round. Ties are settled by id. Names are sorted by code points.",
        {"enum": list(_SORTS), "default": "id"},
    ),
}


def read_parameters(query_string: bytes, known: Collection[str] = ()) -> Sequence[tuple[str, str]]:
    """Return names and values. Raises `ClientException` for a name that is not known."""
    if not query_string:
        return []
    try:
        given = parse_qsl(query_string.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ClientException("The query is not UTF-8.") from None
    for name, _ in given:
        if name not in known:
            others = f"known are {', '.join(known)}" if known else "there are none"
            raise ClientException(f"The query parameter {name!r:.100} is not known here; {others}.")
    return given


@lru_cache(maxsize=64)
def read_query(query_string: bytes) -> PetQuery:
    """Return the query of a listing. Raises `ClientException`, which names the parameter that is wrong."""
    values: dict[str, Any] = {}
    for name, text in read_parameters(query_string, LISTING):
        if name in values:
            raise ClientException(f"The query parameter `{name}` is given more than once.")
        try:
            values[name] = LISTING[name].read(text)
        except (ValueError, KeyError):
            raise _must_be(name, LISTING[name].rule) from None
    cursor = values.pop("cursor", None)
    sort, descending = values.pop("sort", _SORTS["id"])
    try:
        query = PetQuery(**values, sort=sort, descending=descending)
        return query if cursor is None else read_cursor(cursor, query)
    except InvalidQuery as error:
        raise _must_be(error.member, error.rule) from None


def _must_be(name: str, rule: str) -> ClientException:
    return ClientException(f"The query parameter `{name}` must be {rule}.")


def links(query: PetQuery, following: PetQuery | None) -> str:
    """Return what the header `Link` (RFC 8288) says of a page: where the first is, and the next if there is one.

    Without scheme and host, so it holds behind any proxy that leaves paths as they are.
    """
    sort = f"{'-' * query.descending}{query.sort}"
    given = {
        "limit": query.limit,
        "type": query.type,
        "age_min": query.age_min,
        "age_max": query.age_max,
        "name": query.name,
        "sort": None if sort == "id" else sort,
    }
    shown = {name: value for name, value in given.items() if value is not None}
    first = f"/pets/?{urlencode(shown, quote_via=quote)}"
    next_ = f'<{first}&cursor={write_cursor(following)}>; rel="next", ' if following else ""
    return f'{next_}<{first}>; rel="first"'


def read_ids(query_string: bytes) -> PetsDelete | None:
    """Return the ids to delete, if the query names any. Raises `ClientException` for what is no integer."""
    ids = []
    for _, text in read_parameters(query_string, ["ids"]):
        try:
            ids.append(_integer(text))
        except ValueError:
            raise _must_be("ids", "an integer") from None
    if len(ids) > MAX_IDS:
        raise ClientException(f"There are more than {MAX_IDS:,} of the query parameter `ids`.")
    return PetsDelete(ids) if ids else None
