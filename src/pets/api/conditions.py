"""Conditions of a request about the entity tag (RFC 9110, section 13).

`If-Modified-Since` and `If-Unmodified-Since` are ignored because no modification date is known
(13.1.3, 13.1.4), and `If-Range` because `Range` is not supported (13.1.5).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Final, TypeVar

from litestar.exceptions import HTTPException

from pets.api import schemas
from pets.api.answer import JSON, Answer
from pets.api.problems import InvalidHeader, PetNotFound
from pets.api.request import ApiRequest
from pets.asgi import Header, header_values
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import Pet
from pets.domain.repository import PetRepository

Outcome = TypeVar("Outcome")

MAX_TRIES: Final = 5
"""How many times a request reads a pet that others keep changing."""

_IF_MATCH: Final = b"if-match"
_IF_NONE_MATCH: Final = b"if-none-match"
_CONDITIONS: Final = {_IF_MATCH, _IF_NONE_MATCH}
_ONE_TAG_PATTERN: Final = r'(W/)?("[!#-~\x80-\xff]*")'

# RFC 9110, 8.8.3; elements of a list may be empty (5.6.1.2).
_TAGS_PATTERN: Final = rf"\*|[ \t,]*({_ONE_TAG_PATTERN}([ \t]*,[ \t,]*{_ONE_TAG_PATTERN})*[ \t,]*)?"
_TAGS: Final = re.compile(_TAGS_PATTERN.encode())

_CODED: Final = re.compile(rb'("[0-9a-f]{32})--?[a-z]+"')
"""A tag as Apache, Caddy (`"…-gzip"`) and Jetty (`"…--gzip"`) write it if they compress."""

_EXAMPLES: Final = ['"690dfdd569130eb3d28a127ca1f5e760"']
_TAGS_SCHEMA: Final = {
    "type": "string",
    "pattern": f"^({_TAGS_PATTERN})$",
    "examples": _EXAMPLES,
}
CONDITIONS_DESCRIBED: Final = {
    "If-Match": {
        "description": "Only if the resource has one of these tags; otherwise the status is 412. "
        "A tag may be as a proxy made it that compressed the answer: weak, or with a suffix.",
        "schema": _TAGS_SCHEMA,
    },
    "If-None-Match": {
        "description": "Only if the resource has none of these tags.",
        "schema": _TAGS_SCHEMA,
    },
}
ETAG_DESCRIBED: Final = {
    "description": "Changes exactly when the representation does.",
    "schema": {
        "type": "string",
        "pattern": '^"[0-9a-f]{32}"$',
        "maxLength": 34,
        "examples": _EXAMPLES,
    },
}


class PreconditionFailed(HTTPException):
    status_code = 412
    detail = "The resource does not have the tag that `If-Match` names. It was changed or deleted."


def entity_tag(representation: bytes) -> bytes:
    """Return a strong tag: it is the same for the same bytes, and differs for other bytes."""
    return b'"%s"' % blake2b(representation, digest_size=16).hexdigest().encode()


def to_json(pet: Pet) -> bytes:
    """Return the pet as JSON. Its tag is made from these bytes."""
    return schemas.encode(schemas.Pet.from_domain(pet))


def is_met(request: ApiRequest, tag: bytes | None) -> bool:
    """Return whether `If-None-Match` holds for a resource with this tag, or without one.

    Raises `PreconditionFailed` if `If-Match` does not hold, and `InvalidHeader` for a header
    that is malformed.
    """
    if not _has_conditions(request):  # Hardly any request has one.
        return True
    wanted = header_values(request.scope, _IF_MATCH)
    unwanted = header_values(request.scope, _IF_NONE_MATCH)
    # Both are read before either decides, so that a malformed one is always refused.
    is_wanted = not wanted or _names("If-Match", wanted, tag)
    is_unwanted = bool(unwanted) and _names("If-None-Match", unwanted, tag)
    if not is_wanted:
        if tag is None:
            detail = "`If-Match` names a tag, but the list of pets as a whole has none."
            raise PreconditionFailed(detail)
        raise PreconditionFailed
    return not is_unwanted


def _has_conditions(request: ApiRequest) -> bool:
    return any(name in _CONDITIONS for name, _ in request.scope["headers"])


class TaggedAnswer:
    """An answer to GET that has an entity tag. A client that has its body already gets 304.

    The 304 has the headers that are for caches too (RFC 9110, 15.4.5), but not the others.
    The tag changes with the body, and with `tagged_too`, which is a header or empty.
    """

    __slots__ = ("_answer", "_for_caches", "_tag")

    def __init__(
        self,
        body: bytes,
        *headers: Header,
        media_type: bytes = JSON,
        for_caches: tuple[Header, ...] = (),
        tagged_too: bytes = b"",
    ) -> None:
        self._tag = entity_tag(body + tagged_too)
        self._for_caches = ((b"etag", self._tag), *for_caches)
        self._answer = Answer(200, body, *self._for_caches, *headers, media_type=media_type)

    def to(self, request: ApiRequest) -> Answer:
        """Return the answer to this request. Raises as `is_met`."""
        if is_met(request, self._tag):
            return self._answer
        return Answer(304, b"", *self._for_caches)


def raise_unless_met(request: ApiRequest, tag: bytes | None) -> None:
    """Raise `PreconditionFailed` unless the conditions hold for a resource with this tag."""
    if not is_met(request, tag):
        raise PreconditionFailed("`If-None-Match` is `*`, or names the tag of the resource.")


async def find_one(repository: PetRepository, id_: int) -> Pet:
    """Return the pet with this id. Raises `PetNotFound`."""
    pets = await repository.find([id_])
    if not pets:
        raise PetNotFound
    return pets[id_]


async def act_if_conditions_hold(
    request: ApiRequest, id_: int, act: Callable[..., Awaitable[Outcome]]
) -> Outcome:
    """Call `act` if the request's conditions hold for a pet, and return its result.

    `act` gets the expected pet, or None if any pet of this id will do. If the store does not
    have the expected pet, `act` must change nothing, and return an empty result.

    Raises `PetNotFound`, `PreconditionFailed`, and `StoreUnavailable` if the pet was changed
    MAX_TRIES times after its tag was read and before `act` was called.
    """
    for _ in range(MAX_TRIES):
        expected = await _pet_if_conditions_hold(request, id_)
        if outcome := await act(expected=expected):
            return outcome
        if expected is None:
            raise PetNotFound
        if header_values(request.scope, _IF_MATCH) not in ([], [b"*"]):
            raise PreconditionFailed  # The pet no longer has the tag that `If-Match` names.
        # The other conditions may hold for the changed pet too.
    raise StoreUnavailable("Others changed the pet each time before this request could.")


async def _pet_if_conditions_hold(request: ApiRequest, id_: int) -> Mapping[int, Pet] | None:
    """Return the pet if the conditions hold for it, or None if any pet of this id will do."""
    conditions = [field for field in request.scope["headers"] if field[0] in _CONDITIONS]
    if not conditions or conditions == [(_IF_MATCH, b"*")]:
        return None
    pet = await find_one(request.repository, id_)
    raise_unless_met(request, entity_tag(to_json(pet)))
    return {id_: pet}


def _names(header: str, values: list[bytes], tag: bytes | None) -> bool:
    """Return whether a header names the tag; `*` names anything that exists.

    A proxy that compresses an answer makes its tag weak or gives it a suffix. The digest still
    names the state of the pet, so such a tag counts in `If-Match` too, although the strong
    comparison of RFC 9110, 13.1.1, would refuse it (docs/decisions/0011).
    """
    text = b",".join(values).strip(b" \t")
    if text == b"*":
        return True
    if not _TAGS.fullmatch(text):
        raise InvalidHeader(f"The header `{header}` must be `*` or a list of entity tags.")
    if tag is None:
        return False
    # No part of a list looks like one of our tags, because those are hexadecimal digits in quotes.
    return tag in _CODED.sub(rb'\1"', text)
