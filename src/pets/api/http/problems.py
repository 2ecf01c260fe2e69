"""Every error as a problem document (RFC 9457), made in this one place."""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote

from litestar import MediaType, Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    NotFoundException,
    ValidationException,
)
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap
from msgspec import UNSET, Meta, Struct, UnsetType

from pets.api.schemas import NOT_FOUND
from pets.domain.errors import StoreUnavailable

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
MAX_BODY_BYTES: Final = 1024 * 1024
TOO_LARGE: Final = "The body is over 1 MiB."
BUG: Final = "The service met an error of its own."
RETRY_AFTER_SECONDS: Final = 5

# Python names statuses differently from version to version; this is RFC 9110's name.
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    422: "Unprocessable Content",
}


class Fault(Struct, frozen=True):
    """One thing that is wrong with a body."""

    pointer: Annotated[
        str, Meta(description="where: a JSON pointer (RFC 6901) as a fragment", examples=["#/age"])
    ]
    detail: Annotated[str, Meta(examples=["must be an integer from 0 to 100, in whole years"])]


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong (RFC 9457)."""

    type: Annotated[str, Meta(examples=["about:blank"])]
    title: Annotated[str, Meta(description="the phrase of the status", examples=["Bad Request"])]
    status: Annotated[int, Meta(ge=400, le=599, examples=[400])]
    detail: Annotated[
        str, Meta(description="what is wrong here", examples=["The body is not a valid PetCreate."])
    ]
    instance: Annotated[str, Meta(description="the path that was asked for", examples=["/pets/"])]
    errors: Annotated[
        list[Fault] | UnsetType, Meta(description="all faults of a body that is valid JSON")
    ] = UNSET


_DESCRIPTIONS: Final = {
    400: "The request is malformed or invalid.",
    304: "The client knows it already: `If-None-Match` names its tag, or is `*`.",
    404: "There is no such pet.",
    412: "What is at this path is not as the condition says.",
    413: TOO_LARGE,
    415: "The body is not `application/json`, or what else the operation takes.",
    422: "The `Idempotency-Key` was used for another pet.",
    500: BUG,
    503: f"The store cannot be reached. `Retry-After` says in how many seconds to try again ({RETRY_AFTER_SECONDS}).",
}


def documented(
    success: int, answer: type[Struct] | None, description: str, *statuses: int
) -> dict[int, ResponseSpec]:
    """Return what an operation answers: when all goes well, and with these statuses."""
    answers: dict[int, type[Struct] | None] = {success: answer, 304: None}
    return {
        status: ResponseSpec(
            answers.get(status, Problem),
            description=description if status == success else _DESCRIPTIONS[status],
            media_type=MediaType.JSON if status == success else MEDIA_TYPE,
            generate_examples=False,
        )
        for status in (success, *statuses)
    }


class PetNotFound(NotFoundException):
    detail = NOT_FOUND


class InvalidBody(ClientException):
    """A body that is JSON but not what the operation takes."""

    def __init__(self, detail: str, faults: list[Fault]) -> None:
        super().__init__(detail)
        self.faults = faults


def problem(
    status: int, detail: str, instance: str, errors: list[Fault] | UnsetType = UNSET
) -> Problem:
    return Problem(
        type="about:blank",
        title=_PHRASES[status],
        status=status,
        detail=detail,
        instance=instance,
        errors=errors,
    )


AnyRequest = Request[
    Any, Any, Any
]  # Any: this service has no users, no authentication and no state in requests


_STRAY_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def instance_of(raw_path: bytes) -> str:
    """Return the path as it was sent, as a relative reference that stays on this host (RFC 3986).

    A path that begins with two slashes would name another host, so it gets a dot before them,
    which changes nothing about what it means.
    """
    path = quote(raw_path.partition(b"?")[0], safe="/%:@!$&'()*+,;=~")
    path = _STRAY_PERCENT.sub("%25", path)
    return f"/.{path}" if path.startswith("//") else path


def _path(request: AnyRequest) -> str:
    """Return the path as it was sent; Litestar's own has lost its trailing slash."""
    return instance_of(request.scope["raw_path"])


def _invalid_body(request: AnyRequest, error: InvalidBody) -> Response[Problem]:
    return _respond(problem(400, error.detail, _path(request), error.faults))


def _no_body(request: AnyRequest, _: ValidationException) -> Response[Problem]:
    # Bodies are checked by StrictJSON, which Litestar passes over when there is none; nothing else is left to it.
    return _respond(problem(400, "The request has no body; it takes JSON.", _path(request)))


def _http_error(request: AnyRequest, error: HTTPException) -> Response[Problem]:
    match error.status_code:
        case 404 if not isinstance(error, PetNotFound):
            detail = "There is nothing at this path."
        case 405:
            detail = f"{request.method} is not one of the methods of this path; the header Allow names them."
        case 413:
            detail = TOO_LARGE
        case status if status >= 500:
            detail = BUG
        case _:
            detail = error.detail
    headers = error.headers
    if headers and "GET" in headers.get("allow", ""):
        headers = {"allow": f"{headers['allow']}, HEAD"}  # see `Application`
    return _respond(problem(error.status_code, detail, _path(request)), headers)


def _store_unavailable(request: AnyRequest, error: StoreUnavailable) -> Response[Problem]:
    # One line: while a store is down there is one for every request. The driver's first line says what it met; the
    # others would show the statement and its parameters.
    logger.error("%s %s: %s %s", request.method, _path(request), error, error.reason)
    return _respond(
        problem(503, str(error), _path(request)), {"Retry-After": str(RETRY_AFTER_SECONDS)}
    )


def _bug(request: AnyRequest, error: Exception) -> Response[Problem]:
    logger.error("%s %s failed", request.method, _path(request), exc_info=error)
    return _respond(problem(500, BUG, _path(request)))


def _respond(document: Problem, headers: Mapping[str, str] | None = None) -> Response[Problem]:
    return Response(document, status_code=document.status, media_type=MEDIA_TYPE, headers=headers)


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    InvalidBody: _invalid_body,
    ValidationException: _no_body,
    HTTPException: _http_error,
    StoreUnavailable: _store_unavailable,
    Exception: _bug,
}
