"""What handlers say of themselves for the OpenAPI document: their bodies, answers and headers."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from litestar.openapi import ResponseSpec
from msgspec import Struct

from pets.api.access import CHALLENGES
from pets.api.body import JSON_TYPES, MAX_BODY_BYTES
from pets.api.problem_document import Problem
from pets.api.problems import BUG, MAX_RETRY_AFTER_SECONDS, MEDIA_TYPE, RETRY_AFTER_SECONDS
from pets.telemetry.request_context import MAX_REQUEST_ID_LENGTH, REQUEST_ID_PATTERN

JSON = dict[str, Any]  # Any: whatever JSON can hold.

REFERENCE: Final = "#/components/schemas/{name}"
NO_OTHERS: Final[Mapping[str, object]] = MappingProxyType({})
DESCRIPTIONS: Final = {
    400: "The request is malformed or invalid.",
    401: "The request has no valid API key.",
    403: "The API key may only read.",
    406: "`Accept` allows none of the media types of the answer.",
    304: "The client has this already: `If-None-Match` names its tag, or is `*`.",
    404: "There is no such pet.",
    412: "`If-Match` does not name the tag of the pet, or `If-None-Match` does.",
    413: "The body is larger than this operation takes.",
    415: "The body has a media type or a coding that the operation does not take.",
    422: "The `Idempotency-Key` was used for other pets.",
    431: "The path, the query and the header fields are over 64 KiB.",
    500: BUG,
    503: "The store cannot be reached, or the service is overloaded. "
    "`Retry-After` says in how many seconds to try again.",
    507: "The store has no ids left for new pets.",
}
RETRY_AFTER: Final = {
    "description": "In how many seconds to try again.",
    "schema": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_RETRY_AFTER_SECONDS,
        "examples": [RETRY_AFTER_SECONDS],
    },
}
CHALLENGE: Final = {
    "description": "How to send a key (RFC 6750).",
    "required": True,
    "schema": {"type": "string", "enum": CHALLENGES},
}
SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_REQUEST_ID: Final = {
    "description": "The id of the request: the client's own, or else one that was made for it.",
    "required": True,
    "schema": {
        "type": "string",
        "pattern": f"^{REQUEST_ID_PATTERN}$",
        "maxLength": MAX_REQUEST_ID_LENGTH,
    },
}
_CACHE_CONTROL: Final = {
    "description": "A cache must ask each time whether it may still use the answer. It is also "
    "`private` if the service has API keys.",
    "required": True,
    "schema": {"type": "string", "enum": ["no-cache", "private, no-cache"]},
}
HEADERS_OF_ALL: Final = {"Request-Id": _REQUEST_ID, "Cache-Control": _CACHE_CONTROL}
REFERENCES_TO_HEADERS: Final = {
    name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS_OF_ALL
}


def described_answers(
    success: int, struct: type[Struct] | None, description: str, *statuses: int
) -> dict[int, ResponseSpec]:
    """Return the description of an operation's answers: the success, and the other statuses."""
    responses = {success: ResponseSpec(struct, generate_examples=False, description=description)}
    for status in statuses:
        responses[status] = ResponseSpec(
            None if status == 304 else Problem,
            generate_examples=False,
            description=DESCRIPTIONS[status],
            media_type=MEDIA_TYPE,
        )
    return responses


def described_body(
    *kinds: Any,  # Any: mypy knows no type of annotations.
    media_types: Iterable[str] = JSON_TYPES,
    required: bool = True,
    max_bytes: int = MAX_BODY_BYTES,
    others: Mapping[str, object] = NO_OTHERS,
) -> JSON:
    """Return the description of a body that holds a value of one of these kinds.

    `others` describes it in media types that are not JSON.
    """
    content = {"schema": described_schema(*kinds)}
    return {
        "description": f"At most {max_bytes // 1024} KiB.",
        "required": required,
        "content": {**dict.fromkeys(media_types, content), **others},
    }


def described_schema(*kinds: Any) -> JSON:  # Any: as above.
    """Return the schema of values of these kinds. It refers to the structs of the document."""
    schemas, _ = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    return schemas[0] if len(kinds) == 1 else {"anyOf": schemas}
