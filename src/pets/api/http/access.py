"""Who may do what: requests need an API key, if the service has any."""

from typing import Any, Final

from pets.api.http.answer import Answer
from pets.api.http.problems import instance_of, problem, problem_answer
from pets.api.http.request import READING
from pets.domain.access import ApiKey, ApiKeys, Scope

OPEN: Final = ("/health/live", "/health/ready", "/docs", "/schema", "/schema/openapi.json")
"""What needs no key, with or without a slash at the end."""

_OPEN_FOLDERS: Final = ("/docs/", "/problems/")
"""The files of the docs page, and the pages that the `type` of a problem names."""

# RFC 6750, 3
_NO_KEY: Final = "Bearer"
_BAD_KEY: Final = 'Bearer error="invalid_token"'
_WEAK_KEY: Final = 'Bearer error="insufficient_scope"'
CHALLENGES: Final = (_NO_KEY, _BAD_KEY, _WEAK_KEY)


class Guard:
    """Lets in only requests with a valid API key.

    The key is sent as `Authorization: Bearer KEY` (RFC 6750) or `X-API-Key: KEY`. A key of the
    scope `read` may only read. The application finds the key of a request in its scope, as `auth`.
    """

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    # Any, here and below: Litestar and uvicorn type scopes differently.
    def refusal(self, scope: Any) -> Answer | None:
        """Return the answer to a request that is not let in."""
        if _is_open(scope["path"]):
            return None
        presented = _presented_keys(scope)
        if not presented:
            detail = "This needs an API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
            return _refusal(scope, 401, detail, _NO_KEY)
        key = self._keys.find(presented.pop()) if len(presented) == 1 else None
        if key is None:
            return _refusal(scope, 401, "The API key is not valid.", _BAD_KEY)
        if key.scope is Scope.READ and scope["method"] not in READING:
            detail = "This API key may only read."
            return _refusal(scope, 403, detail, _WEAK_KEY)
        scope["auth"] = key
        return None


def owner_of(scope: Any) -> str | None:  # Any: as above.
    """Return the name of the API key that a request was let in with, if the service has keys."""
    key: ApiKey | None = scope.get("auth")
    return key.name if key else None


def _is_open(path: str) -> bool:
    return path.rstrip("/") in OPEN or path.startswith(_OPEN_FOLDERS)


def _presented_keys(scope: Any) -> set[bytes]:  # Any: as above.
    presented = set()
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            presented.add(value)
        elif name == b"authorization":
            scheme, _, credentials = value.partition(b" ")
            if scheme.lower() == b"bearer":
                presented.add(credentials.strip(b" "))
    return presented


def _refusal(scope: Any, status: int, detail: str, challenge: str) -> Answer:  # Any: as above.
    document = problem(status, detail, instance_of(scope["raw_path"]))
    return problem_answer(document, (b"www-authenticate", challenge.encode()))
