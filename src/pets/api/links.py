"""The header `Link` of a page (RFC 8288): the paths of the next page and of the first."""

from typing import Final
from urllib.parse import quote

from pets.api.cursors import write_cursor
from pets.api.root_path import path_for_clients
from pets.domain.query import PetQuery, PetSort

_MAX_FIRST_LENGTH: Final = 1500
"""A longer address of the first page is left out of `Link`, so that proxies take the answer."""

LINK_DESCRIBED: Final = {
    "description": "The path of the next page, if there is one, and of the first, "
    f"unless it is over {_MAX_FIRST_LENGTH:,} characters (RFC 8288).",
    "required": False,
    "schema": {
        "type": "string",
        "pattern": '^(<[^>]+>; rel="next", )?<[^>]+>; rel="first"$|^<[^>]+>; rel="next"$',
        "examples": ['</pets/?limit=20>; rel="first"'],
    },
}


def links(query: PetQuery, following: PetQuery | None) -> str:
    """Return the header of a page: the next page if there is one, and the first.

    The links have no scheme and no host, so they work behind any proxy.
    The first one is left out if it is too long. Then the header may be empty.
    """
    first = _path_of(query)
    to_first = f'<{first}>; rel="first"' if len(first) <= _MAX_FIRST_LENGTH else ""
    if following is None:
        return to_first
    to_next = f'<{first}&cursor={write_cursor(following)}>; rel="next"'
    return f"{to_next}, {to_first}" if to_first else to_next


def _path_of(query: PetQuery) -> str:
    path = f"{path_for_clients('/pets/')}?limit={query.limit}"
    if query.type is not None:
        path += f"&type={query.type}"
    if query.age_min is not None:
        path += f"&age_min={query.age_min}"
    if query.age_max is not None:
        path += f"&age_max={query.age_max}"
    if query.name is not None:
        path += f"&name={quote(query.name, safe='')}"
    path += _rare_filters(query)
    if query.descending:
        path += f"&sort=-{query.sort}"
    elif query.sort is not PetSort.ID:
        path += f"&sort={query.sort}"
    return path


def _rare_filters(query: PetQuery) -> str:
    filters = ""
    if query.name_is is not None:
        filters += f"&name_is={quote(query.name_is, safe='')}"
    if query.created_from is not None:
        filters += f"&created_from={query.created_from.isoformat()}"
    if query.created_to is not None:
        filters += f"&created_to={query.created_to.isoformat()}"
    if query.ids is not None:
        # The path without any id is that of all pets. No pet has the id 0.
        filters += "".join(f"&ids={id_}" for id_ in sorted(query.ids) or [0])
    return filters
