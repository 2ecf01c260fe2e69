"""The query of a URL: which pets a client asks for."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Final

from pets.api.cursors import CURSOR_RULE, MAX_CURSOR_LENGTH, read_cursor
from pets.api.parameters import (
    Faults,
    Known,
    Parameter,
    Values,
    described,
    invalid,
    read_parameters,
    values_and_faults,
)
from pets.api.schemas import ID_RULE, MAX_DIGITS, MAX_IDS, MAX_LIMIT, MAX_LISTED_IDS, PetsDelete
from pets.domain.errors import InvalidQuery
from pets.domain.pet import (
    AGE_RULE,
    CONTROL,
    MAX_AGE,
    MAX_ID,
    MAX_NAME_LENGTH,
    MIN_AGE,
    NAME_PATTERN,
    NAME_RULE,
    TIME_RULE,
    TYPE_RULE,
    PetType,
)
from pets.domain.query import DEFAULT_LIMIT, LIMIT_RULE, PART_RULE, PetQuery, PetSort

_INTEGER: Final = re.compile(f"-?(0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})")  # as in JSON
_MAX_CACHED_BYTES: Final = 2048
"""A longer query is not cached, so that the cache does not take megabytes."""

# Months and days are from 01. Whether the month has the day, and whether the year exists, is left.
_TIME_PATTERN: Final = (
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3])(:[0-5][0-9]){2}Z?"
)
_TIME: Final = re.compile(_TIME_PATTERN)
_TIME_RULE: Final = f"a time in UTC like 2021-05-18T19:10:17, {TIME_RULE}"

_ENOUGH_DIGITS: Final = 5
"""A number with this many digits is over every maximum."""

_SORTS: Final[dict[str, tuple[PetSort, bool]]] = {}
"""The values of `sort`: the member to sort by, and whether the order is descending."""
for _sort in PetSort:
    _SORTS[_sort.value] = (_sort, False)
    _SORTS[f"-{_sort}"] = (_sort, True)

_SORT_NAMES: Final = [
    f"{_sort}_descending" if descending else str(_sort) for _sort, descending in _SORTS.values()
]
"""What generated clients call these values. Few languages have names that begin with a `-`."""


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    # Python refuses to read thousands of digits.
    digits = text.lstrip("0")[:_ENOUGH_DIGITS]
    return int(digits) if digits else 0


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError
    return int(text)


def _time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise ValueError
    return datetime.fromisoformat(text.removesuffix("Z"))


def _limit(text: str) -> int:
    return min(_natural(text), MAX_LIMIT)


def _long_limit(text: str) -> int:
    _natural(text)  # It refuses what is no number.
    return min(int(text.lstrip("0")[: len(str(MAX_ID)) + 1] or 0), MAX_ID)


def _ids(description: str, most: int) -> Parameter:
    items = {"type": "array", "items": {"type": "integer"}, "maxItems": most}
    return Parameter(_integer, ID_RULE, description, items | {"examples": [[1, 2]]}, most)


_AGE_SCHEMA: Final = {"type": "integer", "minimum": MIN_AGE, "maximum": MAX_AGE}
_TIME_SCHEMA: Final = {
    "type": "string",
    "pattern": f"^{_TIME_PATTERN}$",
    "maxLength": len("2021-05-18T19:10:17Z"),
    "examples": ["2021-05-18T19:10:17"],
}
_FILTERS: Final = {
    "limit": Parameter(
        _limit,
        LIMIT_RULE,
        f"How many pets to return at most. Above {MAX_LIMIT} it means {MAX_LIMIT}.",
        {"type": "integer", "minimum": 0, "default": DEFAULT_LIMIT, "examples": [DEFAULT_LIMIT]},
    ),
    "cursor": Parameter(
        str,
        CURSOR_RULE,
        'Where to go on. Follow the `Link` of a page whose `rel` is "next" rather than writing '
        "this yourself. All other parameters except the limit must stay as they were.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": MAX_CURSOR_LENGTH},
    ),
    "type": Parameter(
        PetType,
        TYPE_RULE,
        "Only dogs, or only cats.",
        {"$ref": "#/components/schemas/PetType"},
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
    "name_is": Parameter(
        str,
        NAME_RULE,
        "Only pets with exactly this name. White space at both ends does not count.",
        {"type": "string", "pattern": NAME_PATTERN, "examples": ["boy"]},
    ),
    "created_from": Parameter(
        _time, _TIME_RULE, "Only pets that were created at this time (UTC) or later.", _TIME_SCHEMA
    ),
    "created_to": Parameter(
        _time, _TIME_RULE, "Only pets that were created at this time (UTC) or before.", _TIME_SCHEMA
    ),
    "ids": _ids(
        "Only pets with these ids. Those that are not found are not in the answer.", MAX_LISTED_IDS
    ),
    "sort": Parameter(
        _SORTS.__getitem__,
        f"one of {', '.join(_SORTS)}",
        "The member to sort by. `-` reverses the whole order. Pets with equal values are sorted by "
        "id, and names by code points.",
        {"type": "string", "enum": list(_SORTS), "x-enum-varnames": _SORT_NAMES, "default": "id"},
    ),
}
_STREAM_FILTERS: Final = {name: _FILTERS[name] for name in _FILTERS if name != "cursor"} | {
    "limit": _FILTERS["limit"]._replace(read=_long_limit)
}
"""Without a cursor, because a stream is not a page, and needs none to go on."""

_STATISTICS_FILTERS: Final = {name: _FILTERS[name] for name in ("type", "age_min", "age_max")}
_IDS: Final = {"ids": _ids("The ids, where a body cannot be sent.", MAX_IDS)}
FILTERS_DESCRIBED: Final = described(_FILTERS)
STATISTICS_FILTERS_DESCRIBED: Final = described(_STATISTICS_FILTERS)
IDS_DESCRIBED: Final = described(_IDS)


def read_query(query_string: bytes) -> PetQuery:
    """Return the query of a listing. Raises `InvalidParameters`, which names all faults."""
    if len(query_string) > _MAX_CACHED_BYTES:
        return _read_query(query_string)
    return _cached_query(query_string)


def read_statistics_query(query_string: bytes) -> PetQuery:
    """Return the query whose filters choose the pets of the statistics. It raises the same."""
    return _read_query(query_string, _STATISTICS_FILTERS)


def read_stream_query(query_string: bytes) -> PetQuery:
    """Return the query of a stream. Its limit is MAX_ID if it has none. It raises the same."""
    return _read_query(query_string, _STREAM_FILTERS, MAX_ID)


def _read_query(
    query_string: bytes, known: Known = _FILTERS, default_limit: int = DEFAULT_LIMIT
) -> PetQuery:
    values, faults = values_and_faults(query_string, known)
    values.setdefault("limit", default_limit)
    cursor = values.pop("cursor", None)
    if "ids" in values:
        # An integer that is no id is not found. Nobody can find many ids with the same hash.
        values["ids"] = frozenset(id_ for id_ in values["ids"] if 1 <= id_ <= MAX_ID)
    sort, descending = values.pop("sort", _SORTS["id"])
    try:
        query = PetQuery(**values, sort=sort, descending=descending)
        if not faults:
            return query if cursor is None else read_cursor(cursor, query)
    except InvalidQuery as error:
        faults |= _faults_alone(values) or {error.member: f"must be {error.rule}"}
    raise invalid(faults) from None


def _faults_alone(values: Values) -> Faults:
    """Return the faults of values that the domain refuses. It raises only the first one."""
    faults = {}
    for name, value in values.items():
        try:
            PetQuery(**{name: value})
        except InvalidQuery as error:
            faults[name] = f"must be {error.rule}"
    return faults


_cached_query: Final = lru_cache(maxsize=64)(_read_query)


def read_ids(query_string: bytes) -> PetsDelete | None:
    """Return the ids to delete, or None if the query has none.

    Raises `InvalidParameters` for a value that is not an integer.
    """
    ids = read_parameters(query_string, _IDS).get("ids")
    return PetsDelete(ids) if ids else None
