"""The body of a request: its media type, its coding, and its JSON, which is read strictly."""

from codecs import BOM_UTF8
from collections.abc import Collection
from typing import Final, TypeVar

from litestar.exceptions import HTTPException
from msgspec import Struct

from pets.api.formats import CSV, CSV_TYPE, NDJSON_TYPE
from pets.api.problems import InvalidBody
from pets.api.records import pets_of_lines
from pets.api.request import ApiRequest
from pets.api.schemas import PetCreate, PetsCreate
from pets.api.strict_json import Invalid, NotJSON, decode, decode_array
from pets.asgi import header_values

MAX_BODY_BYTES: Final = 16 * 1024
"""The largest body of most operations. A pet needs at most 1,300 bytes, but white space is free."""

JSON_TYPES: Final = ("application/json",)
MERGE_PATCH_TYPES: Final = (*JSON_TYPES, "application/merge-patch+json")
"""The media types of a merge patch (RFC 7396)."""

NEW_PETS_TYPES: Final = (*JSON_TYPES, NDJSON_TYPE, CSV_TYPE)
"""The media types of new pets."""

_WHITE_SPACE: Final = b" \t\n\r"  # RFC 8259, 2

Body = TypeVar("Body", bound=Struct)


class MissingBody(InvalidBody):
    """There is no body where one is needed. The answer closes the connection.

    Some clients send a body without a length, as Node does with DELETE. For HTTP its bytes are the
    next request, and they must not be read as one.
    """

    detail = "The request has no body, but this operation takes JSON."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.detail, headers={"Connection": "close"})


async def read_body(
    request: ApiRequest, struct: type[Body], media_types: Collection[str] = JSON_TYPES
) -> Body:
    """Return the struct that the body holds.

    Litestar's own reading converts between types, takes any media type, and stops at the first
    fault.

    Raises `HTTPException` 415 for another media type or a coding, and `InvalidBody` for anything
    that is not such a struct. For no body it is a `MissingBody`.
    """
    body, _ = await _body(request, media_types)
    try:
        return decode(body.removeprefix(BOM_UTF8), struct)  # RFC 8259, 8.1
    except (NotJSON, Invalid) as error:
        raise _refusal(error, f"a valid {struct.__name__}") from None


async def read_new_pets(request: ApiRequest) -> tuple[list[PetCreate], bool]:
    """Return the pets of a body, and whether there may be several. Raises as `read_body`."""
    body, media_type = await _body(request, NEW_PETS_TYPES)
    if media_type != JSON_TYPES[0]:
        pets, faults = pets_of_lines(body, CSV if media_type == CSV_TYPE else None)
        if faults:
            raise InvalidBody("The body is not lines of valid PetCreate.", faults)
        return pets, True
    body = body.removeprefix(BOM_UTF8)
    is_array = body.lstrip(_WHITE_SPACE).startswith(b"[")
    try:
        pets = decode_array(body, PetsCreate, PetCreate) if is_array else [decode(body, PetCreate)]
    except (NotJSON, Invalid) as error:
        expected = "an array of valid PetCreate" if is_array else "a valid PetCreate"
        raise _refusal(error, expected) from None
    return pets, is_array


async def _body(request: ApiRequest, media_types: Collection[str]) -> tuple[bytes, str]:
    """Return the body and its media type."""
    body = await request.body()
    if not body:
        raise MissingBody
    media_type = _media_type(request, media_types)
    _check_coding(request)
    return body, media_type


def _refusal(error: NotJSON | Invalid, expected: str) -> InvalidBody:
    if isinstance(error, Invalid):
        return InvalidBody(f"The body is not {expected}.", error.faults)
    return InvalidBody(f"The body {error}.")


def _media_type(request: ApiRequest, media_types: Collection[str]) -> str:
    content_type = b"".join(header_values(request.scope, b"content-type"))
    media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if media_type not in media_types:
        expected = "` or `".join(media_types)
        detail = f"The body must be `{expected}`, and the header Content-Type must say so."
        # RFC 5789, 2.2; Linked Data Platform 1.0, 7.1; RFC 9110, 12.5.1
        name = {"PATCH": "Accept-Patch", "POST": "Accept-Post"}.get(request.method, "Accept")
        accepted = {name: ", ".join(media_types)}
        raise HTTPException(status_code=415, detail=detail, headers=accepted)
    return media_type


def _check_coding(request: ApiRequest) -> None:
    for coding in header_values(request.scope, b"content-encoding"):
        if coding.lower() not in {b"", b"identity"}:
            raise HTTPException(
                status_code=415,
                detail="The body must be sent without a Content-Encoding.",
                headers={"Accept-Encoding": "identity"},  # RFC 9110, 15.5.16
            )
