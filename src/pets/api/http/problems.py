"""Every error as a problem document (RFC 9457)."""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from litestar import Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    NotFoundException,
    ValidationException,
)
from litestar.types import ExceptionHandlersMap
from msgspec import UNSET, UnsetType

from pets.api.http.request import AnyRequest, allow
from pets.api.schemas import NOT_FOUND, Fault, Problem
from pets.domain.errors import StoreUnavailable

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
MAX_BODY_BYTES: Final = 1024 * 1024
TOO_LARGE: Final = "The body is over 1 MiB."
BUG: Final = "The service met an error of its own."
RETRY_AFTER_SECONDS: Final = 5

# Python names statuses differently from version to version. These are the names of RFC 9110.
_PHRASES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}

_STRAY_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


class PetNotFound(NotFoundException):
    detail = NOT_FOUND


class InvalidBody(ClientException):
    """The body is JSON, but not what the operation takes."""

    def __init__(self, detail: str, faults: list[Fault]) -> None:
        super().__init__(detail)
        self.faults = faults


def problem(
    status: int, detail: str, instance: str, errors: list[Fault] | UnsetType = UNSET
) -> Problem:
    return Problem(
        type="about:blank",
        title=_PHRASES.get(status) or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        errors=errors,
    )


def instance_of(raw_path: bytes) -> str:
    """Return the path as it was sent, as a relative reference that stays on this host (RFC 3986).

    A path that begins with two slashes would name another host. A dot before them prevents this
    and does not change the meaning.
    """
    path = quote(raw_path.partition(b"?")[0], safe="/%:@!$&'()*+,;=~")
    path = _STRAY_PERCENT.sub("%25", path)
    return f"/.{path}" if path.startswith("//") else path


def _answer(
    request: AnyRequest,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[Fault] | UnsetType = UNSET,
) -> Response[Problem]:
    # Litestar's own path has lost its last slash.
    document = problem(status, detail, instance_of(request.scope["raw_path"]), errors)
    return Response(document, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _invalid_body(request: AnyRequest, error: InvalidBody) -> Response[Problem]:
    return _answer(request, 400, error.detail, errors=error.faults)


def _no_body(request: AnyRequest, _: ValidationException) -> Response[Problem]:
    # Litestar validates nothing else by itself: StrictJSON reads bodies, but is not called without.
    return _answer(request, 400, "The request has no body, but this operation takes JSON.")


def _http_error(request: AnyRequest, error: HTTPException) -> Response[Problem]:
    detail = error.detail
    headers = error.headers
    match error.status_code:
        case 404 if not isinstance(error, PetNotFound):
            detail = "There is nothing at this path."
        case 405 if headers:
            headers = {"Allow": allow(headers["allow"].split(", "))}
            detail = f"This path does not take {request.method}. See the header Allow."
        case 413:
            detail = TOO_LARGE
        case status if status >= 500:
            detail = BUG
    return _answer(request, error.status_code, detail, headers=headers)


def _store_unavailable(request: AnyRequest, error: StoreUnavailable) -> Response[Problem]:
    # One line without a traceback, because a store that is down fails every request.
    path = instance_of(request.scope["raw_path"])
    logger.error("%s %s: %s %s", request.method, path, error, error.reason)
    return _answer(request, 503, str(error), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _bug(request: AnyRequest, error: Exception) -> Response[Problem]:
    path = instance_of(request.scope["raw_path"])
    logger.error("%s %s failed", request.method, path, exc_info=error)
    return _answer(request, 500, BUG)


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    InvalidBody: _invalid_body,
    ValidationException: _no_body,
    HTTPException: _http_error,
    StoreUnavailable: _store_unavailable,
    Exception: _bug,
}
