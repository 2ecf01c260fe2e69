"""Access: if the service has API keys, requests need one."""

from typing import Final

from pets.api.answer import Answer
from pets.api.api_keys import ApiKey, ApiKeys, KeyScope
from pets.api.problems import problem_for
from pets.asgi import SAFE_METHODS, Scope, header_values

OPEN: Final = ("/health/live", "/health/ready", "/docs", "/schema", "/schema/openapi.json")
"""The paths that need no key, with or without a slash at the end."""

_OPEN_FOLDERS: Final = ("/docs/", "/problems/")
"""The files of the docs page, and the pages that the `type` of a problem names."""

# RFC 6750, 3
_NO_KEY: Final = "Bearer"
_BAD_KEY: Final = 'Bearer error="invalid_token"'
_WEAK_KEY: Final = 'Bearer error="insufficient_scope"'
CHALLENGES: Final = (_NO_KEY, _BAD_KEY, _WEAK_KEY)


class Guard:
    """Refuses requests without a valid API key.

    The key is sent as `Authorization: Bearer KEY` (RFC 6750) or `X-API-Key: KEY`. A valid key in
    either header counts, whatever the other one has, because gateways leave tokens of their own.
    Two valid keys that differ are refused: it would not be clear whose request this is. A key of
    the scope `read` may only read. The ASGI scope of an accepted request has its key as `auth`.
    """

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def refusal(self, scope: Scope) -> Answer | None:
        """Return the answer to a request that is refused, or None for one that is accepted."""
        if _is_open(scope["path"]):
            return None
        bearers = _bearers(scope)
        others = set(header_values(scope, b"x-api-key"))
        if not bearers and not others:
            detail = "This needs an API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
            return _refusal(scope, 401, detail, _NO_KEY)
        # A proxy that limits the rate of each key may read one line of a header only.
        is_clear = len(bearers) <= 1 and len(others) <= 1
        found = [self._keys.find(sent) for sent in bearers | others] if is_clear else []
        valid = [key for key in found if key]
        if not valid:
            return _refusal(scope, 401, "The API key is not valid.", _BAD_KEY)
        if len(valid) > 1:
            return _refusal(scope, 401, "The request has two API keys. Send only one.", _BAD_KEY)
        (key,) = valid
        if key.scope is KeyScope.READ and scope["method"] not in SAFE_METHODS:
            return _refusal(scope, 403, "This API key may only read.", _WEAK_KEY)
        scope["auth"] = key
        return None


def owner_of(scope: Scope) -> str | None:
    """Return the name of the API key of an accepted request, if the service has keys."""
    key: ApiKey | None = scope.get("auth")
    return key.name if key else None


def _is_open(path: str) -> bool:
    return path.rstrip("/") in OPEN or path.startswith(_OPEN_FOLDERS)


def _bearers(scope: Scope) -> set[bytes]:
    bearers = set()
    for value in header_values(scope, b"authorization"):
        scheme, _, credentials = value.partition(b" ")
        if scheme.lower() == b"bearer":
            bearers.add(credentials.strip(b" "))
    return bearers


def _refusal(scope: Scope, status: int, detail: str, challenge: str) -> Answer:
    return problem_for(scope, status, detail, (b"www-authenticate", challenge.encode()))
