"""Requests that are safe to send again (draft-ietf-httpapi-idempotency-key-header)."""

import re
from typing import Final

from litestar.exceptions import ClientException, HTTPException

from pets.api.strict_json import AnyConnection, headers

MAX_KEY_LENGTH: Final = 255

# A string of RFC 9651, as the draft has it, or its content alone, as many clients send it.
KEY_PATTERN: Final = (
    rf'"([ !#-\[\]-~]|\\["\\]){{1,{MAX_KEY_LENGTH}}}"'
    "|"
    rf"[!#-+\--\[\]-~]{{1,{MAX_KEY_LENGTH}}}"
)

_KEY: Final = re.compile(KEY_PATTERN)


def idempotency_key(request: AnyConnection) -> str | None:
    """Return the key of a request, if it has one. Raises `ClientException` for one that is malformed or too long."""
    given = headers(request, b"idempotency-key")
    if not given:
        return None
    text = b",".join(given).decode("latin-1").strip(" \t")
    if not _KEY.fullmatch(text):
        raise ClientException(
            f"The header `Idempotency-Key` must be 1 to {MAX_KEY_LENGTH} visible ASCII characters, best in quotes."
        )
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text


class KeyReused(HTTPException):
    status_code = 422
    detail = "The `Idempotency-Key` was used for another pet; a new request needs a new key."
