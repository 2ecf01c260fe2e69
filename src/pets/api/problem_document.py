"""What a problem document holds (RFC 9457), as clients get it."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from pets.api.problem_types import BLANK, INVALID_BODY, TYPES
from pets.api.schemas import MAX_LINES
from pets.telemetry.request_context import MAX_REQUEST_ID_LENGTH, REQUEST_ID_PATTERN

MAX_FAULTS: Final = 100


class Fault(Struct, frozen=True, kw_only=True):
    """A fault of a body, which has a pointer, or of the query, which has a parameter."""

    pointer: (
        Annotated[
            str,
            Meta(
                pattern="^#(/.*)?$",
                description="where in the body: a JSON pointer (RFC 6901) as a fragment",
                examples=["#/age"],
            ),
        ]
        | UnsetType
    ) = UNSET
    parameter: (
        Annotated[str, Meta(description="the name of the query parameter", examples=["age_min"])]
        | UnsetType
    ) = UNSET
    line: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MAX_LINES + 1,
                description="the line of NDJSON or CSV in which the pet begins",
                examples=[2],
            ),
        ]
        | UnsetType
    ) = UNSET
    detail: Annotated[str, Meta(examples=["must be an integer from 0 to 100, in whole years"])]


_REFERENCE: Final = {"format": "uri-reference"}
EXAMPLE_REQUEST_ID: Final = "4b3c9a0e5d7f4e21a8c6b0d9f2e17a55"


class Problem(Struct, frozen=True, kw_only=True):
    """A problem (RFC 9457)."""

    type: Annotated[
        str,
        Meta(
            description=f"the path of a page that explains this kind of problem, or `{BLANK}` if "
            f"the status says everything: {', '.join(TYPES)}",
            examples=[INVALID_BODY],
            extra_json_schema=_REFERENCE,
        ),
    ]
    title: Annotated[str, Meta(description="the phrase of the status", examples=["Bad Request"])]
    status: Annotated[int, Meta(ge=400, le=599, examples=[400])]
    detail: Annotated[
        str,
        Meta(
            description="an explanation of this problem",
            examples=["The body is not a valid PetCreate."],
        ),
    ]
    instance: Annotated[
        str,
        Meta(
            description="the path of the request",
            examples=["/pets/"],
            extra_json_schema=_REFERENCE,
        ),
    ]
    request_id: Annotated[
        str,
        Meta(
            pattern=f"^{REQUEST_ID_PATTERN}$",
            max_length=MAX_REQUEST_ID_LENGTH,
            description="as in the header `Request-Id`",
            examples=[EXAMPLE_REQUEST_ID],
        ),
    ]
    errors: Annotated[
        list[Fault] | UnsetType,
        Meta(
            description=f"the faults of the body or of the query, {MAX_FAULTS} at most",
            extra_json_schema={"maxItems": MAX_FAULTS},
        ),
    ] = UNSET
