"""Requests that are safe to send again (draft-ietf-httpapi-idempotency-key-header)."""

import re
from typing import Final

from litestar.exceptions import ClientException, HTTPException

from pets.api.strict_json import AnyConnection, headers

MAX_KEY_LENGTH: Final = 255

_QUOTED: Final = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])+)"')  # a string of RFC 9651, as the draft has it
_BARE: Final = re.compile(rb"[!#-+\--\[\]-~]+")  # as many clients send it: what is visible, but for quotes and commas


def idempotency_key(request: AnyConnection) -> str | None:
    """Return the key of a request, if it has one. Raises `ClientException` for one that is malformed or too long."""
    given = headers(request, b"idempotency-key")
    if not given:
        return None
    text = b",".join(given).strip(b" \t")
    if quoted := _QUOTED.fullmatch(text):
        text = re.sub(rb"\\(.)", rb"\1", quoted[1])
    elif not _BARE.fullmatch(text):
        raise ClientException("The header `Idempotency-Key` must be visible ASCII characters, in quotes or without.")
    if len(text) > MAX_KEY_LENGTH:
        raise ClientException(f"The header `Idempotency-Key` must have at most {MAX_KEY_LENGTH} characters.")
    return text.decode()


class KeyReused(HTTPException):
    status_code = 422
    detail = "The `Idempotency-Key` was used for another pet; a new request needs a new key."
