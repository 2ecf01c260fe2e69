"""Every error as a problem document (RFC 9457)."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

from litestar import Request, Response
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.types import ExceptionHandlersMap
from msgspec import UNSET, UnsetType

from pets.api.answer import Answer, allow
from pets.api.problem_document import Fault, Problem
from pets.api.problem_types import (
    BLANK,
    INVALID_BODY,
    INVALID_HEADER,
    INVALID_QUERY,
    NO_IDS_LEFT,
    NOT_DONE,
    OUTCOME_UNKNOWN,
    PET_NOT_FOUND,
)
from pets.api.root_path import path_for_clients
from pets.api.schemas import NOT_FOUND, encode
from pets.asgi import Header, Scope, path_as_sent
from pets.domain.errors import NoIdsLeft, OutcomeUnknown, StoreUnavailable
from pets.telemetry.request_context import request_id

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"

NOTHING_HERE: Final = "There is nothing at this path."
BUG: Final = "The service failed because of an error in the service itself."
RETRY_AFTER_SECONDS: Final = 5

MAX_RETRY_AFTER_SECONDS: Final = 7
"""A rejected client is told 1 to this many seconds, so that not all come back at once."""

# Python names statuses differently from version to version. These are the names of RFC 9110.
_PHRASES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}


class TypedError(HTTPException):
    """An error whose problem has a type of its own."""

    type_: ClassVar[str]
    faults: Sequence[Fault] = ()


class PetNotFound(TypedError, NotFoundException):
    type_ = PET_NOT_FOUND
    detail = NOT_FOUND


class InvalidRequest(TypedError, ClientException):
    """A part of the request is malformed, or is not valid for the operation."""

    def __init__(
        self,
        detail: str,
        faults: Sequence[Fault] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail, headers=headers)
        self.faults = faults


class InvalidBody(InvalidRequest):
    type_ = INVALID_BODY


class InvalidParameters(InvalidRequest):
    type_ = INVALID_QUERY


class InvalidHeader(InvalidRequest):
    type_ = INVALID_HEADER


def problem(
    status: int,
    detail: str,
    instance: str,
    errors: list[Fault] | UnsetType = UNSET,
    *,
    type_: str = BLANK,
) -> Problem:
    """Describe a failure of the request that this task answers."""
    return Problem(
        type=path_for_clients(type_),
        title=_PHRASES.get(status) or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=path_for_clients(instance),
        request_id=request_id.get(),
        errors=errors,
    )


def problem_answer(document: Problem, *headers: Header) -> Answer:
    """Return the answer with a problem, for code that runs outside Litestar."""
    body = encode(document)
    return Answer(document.status, body, *headers, media_type=MEDIA_TYPE.encode())


def problem_for(
    scope: Scope, status: int, detail: str, *headers: Header, type_: str = BLANK
) -> Answer:
    """Return the answer with a problem of this request, for code that runs outside Litestar."""
    document = problem(status, detail, path_as_sent(scope["raw_path"]), type_=type_)
    return problem_answer(document, *headers)


# Any: Litestar knows of no narrower type of request here.
def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    status = 500
    type_ = BLANK
    detail = BUG
    headers: Mapping[str, str] | None = None
    faults: list[Fault] | UnsetType = UNSET
    # Litestar's own path has lost its last slash.
    path = path_as_sent(request.scope["raw_path"])
    match error:
        case StoreUnavailable():
            # One line without a traceback, because a store that is down fails every request.
            logger.error("%s %s: %s %s", request.method, path, error, error.reason)
            detail = str(error)
            if isinstance(error, NoIdsLeft):
                status = 507  # Trying again would not help.
                type_ = NO_IDS_LEFT
            else:
                status = 503
                type_ = OUTCOME_UNKNOWN if isinstance(error, OutcomeUnknown) else NOT_DONE
                headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        case HTTPException(status_code=known) if known < 500:
            status = known
            detail = _detail(request, error)
            headers = error.headers
            if headers and known == 405:
                headers = {"Allow": allow(headers["allow"].split(", "))}
            if isinstance(error, TypedError):
                type_ = error.type_
                faults = [*error.faults] or UNSET
        case _:
            logger.error("%s %s failed", request.method, path, exc_info=error)
    document = problem(status, detail, path, faults, type_=type_)
    return Response(document, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _detail(request: Request[Any, Any, Any], error: HTTPException) -> str:
    match error.status_code:
        case 404 if not isinstance(error, PetNotFound):
            return NOTHING_HERE
        case 405:
            return f"This path does not take {request.method}. `Allow` lists the methods it takes."
        case 413:
            limit = request.route_handler.resolve_request_max_body_size() or 0
            return f"The body is over {limit // 1024} KiB."
        case _:
            return error.detail


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {Exception: _answer}
