"""Requests that are safe to send again (draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from pets.api.access import owner_of
from pets.api.problem_types import KEY_REUSED
from pets.api.problems import InvalidHeader, TypedError
from pets.api.request import ApiRequest
from pets.asgi import header_values
from pets.domain.pet import NewPet
from pets.domain.repository import AddedOnce

MAX_KEY_LENGTH: Final = 255

# A string of RFC 9651, as the draft has it, or its content alone, as many clients send it.
_KEY_PATTERN: Final = (
    rf'"([ !#-\[\]-~]|\\["\\]){{1,{MAX_KEY_LENGTH}}}"'
    "|"
    rf"[!#-+\--\[\]-~]{{1,{MAX_KEY_LENGTH}}}"
)
_KEY: Final = re.compile(_KEY_PATTERN)

KEY_DESCRIBED: Final = {
    "description": "Makes the request safe to send again: with the same key and the same pets, "
    "the answer is the same as the first one.",
    "schema": {
        "type": "string",
        "pattern": f"^({_KEY_PATTERN})$",
        "maxLength": len('""') + 2 * MAX_KEY_LENGTH,
        "examples": ['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
    },
}


async def add_once(request: ApiRequest, new: Sequence[NewPet]) -> AddedOnce:
    """Add the pets, but only once if the request has a key.

    Raises `InvalidHeader` for a bad key, and `KeyReused`.
    """
    key = _idempotency_key(request)
    if key is None:
        return AddedOnce(await request.repository.add(new), is_replay=False)
    added = (await request.repository.add_once({key: new}))[key]
    if not added.answers(new):
        raise KeyReused
    return added


def _idempotency_key(request: ApiRequest) -> str | None:
    """Return the key of a request, if it has one.

    If clients have API keys, the same key sent with two API keys counts as two keys.

    Raises `InvalidHeader` for a key that is malformed or too long.
    """
    values = header_values(request.scope, b"idempotency-key")
    if not values:
        return None
    key = b",".join(values).decode("latin-1").strip(" \t")
    if not _KEY.fullmatch(key):
        raise InvalidHeader(
            f"The header `Idempotency-Key` must be 1 to {MAX_KEY_LENGTH} visible ASCII "
            "characters, best in quotes."
        )
    if key[0] == '"':
        key = re.sub(r"\\(.)", r"\1", key[1:-1])
    owner = owner_of(request.scope)
    return _key_of(owner, key) if owner else key


def _key_of(owner: str, key: str) -> str:
    # A digest has a fixed length, so the key is never too long for the store.
    return hashlib.sha256(f"{owner}:{key}".encode()).hexdigest()


REPLAYED: Final = (b"idempotent-replayed", b"true")
REPLAYED_DESCRIBED: Final = {
    "description": "This is the answer to an earlier request with the same `Idempotency-Key`.",
    "schema": {"type": "string", "enum": ["true"]},
    "required": False,
}


class KeyReused(TypedError):
    type_ = KEY_REUSED
    status_code = 422
    detail = "The `Idempotency-Key` was used for other pets; a new request needs a new key."
