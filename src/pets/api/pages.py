"""The answer with a page, and its header `Link`: the next page and the first (RFC 8288)."""

from typing import Final
from urllib.parse import quote

from pets.api import schemas
from pets.api.accept import VARY
from pets.api.conditions import TaggedAnswer
from pets.api.cursors import write_cursor
from pets.api.root_path import path_for_clients
from pets.domain.pet import MAX_ID
from pets.domain.query import PetQuery, PetSort
from pets.domain.repository import PetPage

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


TOTAL_DESCRIBED: Final = {
    "description": "How many pets match in all, as `count` in the body.",
    "required": False,
    "schema": {"type": "integer", "minimum": 0, "maximum": MAX_ID, "examples": [2]},
}


class LastPage:
    """Remembers the answer with the last page.

    The callers of one batch get the same page object. They share its answer too, because encoding
    a page takes most of the time of a listing.
    """

    def __init__(self) -> None:
        self._page: PetPage | None = None
        self._answer: TaggedAnswer

    def answer(self, query: PetQuery, page: PetPage) -> TaggedAnswer:
        if page is not self._page:
            body = schemas.encode(schemas.PetPage.from_domain(page))
            link = links(query, page.next).encode()
            self._page = page
            headers = [(b"x-total-count", b"%d" % page.count)]
            if link:
                headers.append((b"link", link))
            # A poll must notice that there is a next page now.
            self._answer = TaggedAnswer(body, *headers, for_caches=(VARY,), tagged_too=link)
        return self._answer


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
