"""The query of a URL. It is read strictly: with a misspelt filter, all pets would be listed."""

import re
from binascii import a2b_hex
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from litestar.exceptions import ClientException

from pets.api.cursors import CURSOR_RULE, MAX_CURSOR_LENGTH, read_cursor, write_cursor
from pets.api.schemas import ID_RULE, MAX_DIGITS, MAX_IDS, MAX_LIMIT, PetsDelete
from pets.domain.errors import InvalidQuery
from pets.domain.pet import AGE_RULE, CONTROL, MAX_AGE, MAX_NAME_LENGTH, MIN_AGE, TYPE_RULE, PetType
from pets.domain.query import DEFAULT_LIMIT, LIMIT_RULE, PART_RULE, PetQuery, PetSort

_INTEGER: Final = re.compile(f"-?(0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})")  # as in JSON
_ENCODED_BYTE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_MAX_CACHED_BYTES: Final = 2048
"""A longer query is not cached, so that the cache does not take megabytes."""

_ENOUGH_DIGITS: Final = 5
"""A number with this many digits is over every maximum."""

_SORTS: Final[dict[str, tuple[PetSort, bool]]] = {}
"""The values of `sort`: the member to sort by, and whether the order is descending."""
for _sort in PetSort:
    _SORTS[_sort.value] = (_sort, False)
    _SORTS[f"-{_sort}"] = (_sort, True)


class Filter(NamedTuple):
    """A query parameter of a listing."""

    read: Callable[[str], Any]
    """Converts a text, or raises `ValueError` or `KeyError`. Any: each filter has its own type."""
    rule: str
    """The values that are allowed, as in "must be …"."""
    description: str
    schema: Mapping[str, object]


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    # Python refuses to read thousands of digits.
    digits = text.lstrip("0")[:_ENOUGH_DIGITS]
    return int(digits) if digits else 0


def _limit(text: str) -> int:
    return min(_natural(text), MAX_LIMIT)


_AGE_SCHEMA: Final = {"type": "integer", "minimum": MIN_AGE, "maximum": MAX_AGE}
_FILTERS: Final = {
    "limit": Filter(
        _limit,
        LIMIT_RULE,
        f"How many pets to return at most. Above {MAX_LIMIT} it means {MAX_LIMIT}.",
        {"type": "integer", "minimum": 0, "default": DEFAULT_LIMIT, "examples": [DEFAULT_LIMIT]},
    ),
    "cursor": Filter(
        str,
        CURSOR_RULE,
        'Where to go on. Follow the `Link` of a page whose `rel` is "next" rather than writing '
        "this yourself. All other parameters except the limit must stay as they were.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": MAX_CURSOR_LENGTH},
    ),
    "type": Filter(
        PetType,
        TYPE_RULE,
        "Only dogs, or only cats.",
        {"type": "string", "enum": sorted(PetType), "examples": ["dog"]},
    ),
    "age_min": Filter(
        _natural, AGE_RULE, "Only pets of this age or older.", _AGE_SCHEMA | {"examples": [1]}
    ),
    "age_max": Filter(
        _natural, AGE_RULE, "Only pets of this age or younger.", _AGE_SCHEMA | {"examples": [9]}
    ),
    "name": Filter(
        str,
        PART_RULE,
        "Only pets whose name contains this text. Capitals and small letters are the same. "
        "There are no wildcards.",
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_NAME_LENGTH,
            "pattern": f"^[^{CONTROL}]*$",
            "examples": ["bo"],
        },
    ),
    "sort": Filter(
        _SORTS.__getitem__,
        f"one of {', '.join(_SORTS)}",
        "The member to sort by. `-` reverses the whole order. Pets with equal values are sorted by "
        "id, and names by code points.",
        {"type": "string", "enum": list(_SORTS), "default": "id"},
    ),
}
_STATISTICS_FILTERS: Final = {name: _FILTERS[name] for name in ("type", "age_min", "age_max")}


def _described(filters: Mapping[str, Filter]) -> Mapping[str, object]:
    return {
        name: {"description": filter_.description, "schema": filter_.schema}
        for name, filter_ in filters.items()
    }


FILTERS_DESCRIBED: Final = _described(_FILTERS)
STATISTICS_FILTERS_DESCRIBED: Final = _described(_STATISTICS_FILTERS)
IDS_DESCRIBED: Final = {
    "description": "The ids, where a body cannot be sent.",
    "schema": {
        "type": "array",
        "items": {"type": "integer"},
        "maxItems": MAX_IDS,
        "examples": [[1, 2]],
    },
}
LINK_DESCRIBED: Final = {
    "description": "The path of the first page, and of the next if there is one (RFC 8288).",
    "schema": {
        "type": "string",
        "pattern": '^(<[^>]+>; rel="next", )?<[^>]+>; rel="first"$',
        "examples": ['</pets/?limit=20>; rel="first"'],
    },
}


def read_parameters(query_string: bytes, known: Collection[str] = ()) -> Sequence[tuple[str, str]]:
    """Return names and values. Raises `ClientException` for a name that is not known."""
    if not query_string:
        return []
    parameters = []
    # `parse_qsl` would read thousands of parameters, in 50 ms, before the first could be refused.
    for part in query_string.replace(b"+", b" ").split(b"&"):
        if not part:
            continue
        encoded_name, _, encoded_text = part.partition(b"=")
        name = _decode(encoded_name)
        if name not in known:
            names = ", ".join(known) or "none"
            raise ClientException(
                f"The query parameter {name[:100]!r} is not known here. Known are: {names}."
            )
        parameters.append((name, _decode(encoded_text)))
    return parameters


def _decode(encoded: bytes) -> str:
    try:
        return _ENCODED_BYTE.sub(_decode_byte, encoded).decode()
    except UnicodeDecodeError:
        raise ClientException("The query is not UTF-8.") from None


def _decode_byte(match: re.Match[bytes]) -> bytes:
    return a2b_hex(match[1])


def read_query(query_string: bytes) -> PetQuery:
    """Return the query of a listing. Raises `ClientException`, which names the bad parameter."""
    if len(query_string) > _MAX_CACHED_BYTES:
        return _read_query(query_string)
    return _cached_query(query_string)


def read_statistics_query(query_string: bytes) -> PetQuery:
    """Return the query whose filters choose the pets of the statistics. It raises the same."""
    return _read_query(query_string, _STATISTICS_FILTERS)


def _read_query(query_string: bytes, filters: Mapping[str, Filter] = _FILTERS) -> PetQuery:
    values: dict[str, Any] = {}  # Any: each parameter has its own type.
    for name, text in read_parameters(query_string, filters):
        if name in values:
            raise ClientException(f"The query parameter `{name}` is sent more than once.")
        try:
            values[name] = filters[name].read(text)
        except (ValueError, KeyError):
            raise _must_be(name, filters[name].rule) from None
    cursor = values.pop("cursor", None)
    sort, descending = values.pop("sort", _SORTS["id"])
    try:
        query = PetQuery(**values, sort=sort, descending=descending)
        return query if cursor is None else read_cursor(cursor, query)
    except InvalidQuery as error:
        raise _must_be(error.member, error.rule) from None


_cached_query: Final = lru_cache(maxsize=64)(_read_query)


def _must_be(name: str, rule: str) -> ClientException:
    return ClientException(f"The query parameter `{name}` must be {rule}.")


def links(query: PetQuery, following: PetQuery | None) -> str:
    """Return the header `Link` of a page (RFC 8288): the first page, and the next if there is one.

    The links have no scheme and no host, so they work behind any proxy that keeps paths.
    """
    first = f"/pets/?limit={query.limit}"
    if query.type is not None:
        first += f"&type={query.type}"
    if query.age_min is not None:
        first += f"&age_min={query.age_min}"
    if query.age_max is not None:
        first += f"&age_max={query.age_max}"
    if query.name is not None:
        first += f"&name={quote(query.name, safe='')}"
    if query.descending:
        first += f"&sort=-{query.sort}"
    elif query.sort is not PetSort.ID:
        first += f"&sort={query.sort}"
    if following is None:
        return f'<{first}>; rel="first"'
    return f'<{first}&cursor={write_cursor(following)}>; rel="next", <{first}>; rel="first"'


def read_ids(query_string: bytes) -> PetsDelete | None:
    """Return the ids to delete, or None if the query has none.

    Raises `ClientException` for a value that is not an integer.
    """
    ids = []
    for _, text in read_parameters(query_string, ["ids"]):
        if not _INTEGER.fullmatch(text):
            raise _must_be("ids", ID_RULE)
        ids.append(int(text))
    if len(ids) > MAX_IDS:
        raise ClientException(f"There are more than {MAX_IDS:,} query parameters `ids`.")
    return PetsDelete(ids) if ids else None
