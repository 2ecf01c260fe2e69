"""Checks of the head of a request, where the parser is too lenient (RFC 9112)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPMethod
from typing import Final

from pets.serving.errors import Refusal

MAX_HEAD_BYTES: Final = 64 * 1024
"""The size of the longest head: the request line, and a line `name: value` for each field."""

MAX_FIELDS: Final = 100
"""How many fields a head may have, and the trailers of a body.

A field of five bytes takes a hundred bytes of memory. This is the limit of Apache and h2o too.
"""

# host [":" port] of RFC 3986: an address in brackets, or a name that may be empty. The name is
# possessive (`++`, `*+`), because a long bad name would be tried again and again otherwise.
_ADDRESS: Final = rb"\[(?:[0-9A-Fa-f:.]+|v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+)\]"
_NAME: Final = rb"(?:[\w.~!$&'()*+,;=-]++|%[0-9A-Fa-f]{2})*+"
_HOST: Final = re.compile(rb"(?:" + _ADDRESS + rb"|" + _NAME + rb")(?::[0-9]*)?")
_ABSOLUTE_FORM: Final = re.compile(rb"https?://([^/?:][^/?]*)", re.IGNORECASE)

_METHOD: Final = re.compile(rb"[\r\n]*(%s) " % "|".join(HTTPMethod).encode())
_KEPT_FIELD: Final = re.compile(
    rb"\r\n(request-id|origin|traceparent|tracestate):([^\r\n]*+)(?=\r\n)", re.IGNORECASE
)
_OTHER_METHOD: Final = "_OTHER"
"""https://opentelemetry.io/docs/specs/semconv/registry/attributes/http/#http-request-method"""

_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH", b"DELETE"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})

Headers = Sequence[tuple[bytes, bytes]]


class HeadTooLarge(Refusal):
    def __init__(self) -> None:
        super().__init__(431, f"The header or trailer fields are over {MAX_HEAD_BYTES} bytes.")


class TooManyFields(Refusal):
    def __init__(self) -> None:
        super().__init__(431, f"The header or trailer fields are more than {MAX_FIELDS}.")


class BadRequest(Refusal):
    def __init__(self, detail: str) -> None:
        super().__init__(400, detail)


def check_size(method: bytes, url: bytes, headers: Headers) -> None:
    """Raise `HeadTooLarge` for a head of more than MAX_HEAD_BYTES."""
    size = len(method) + len(url) + len(b"  HTTP/1.1\r\n\r\n")
    for name, value in headers:
        size += len(name) + len(value) + len(b": \r\n")
    if size > MAX_HEAD_BYTES:
        raise HeadTooLarge


def check_head(version: str, headers: Headers) -> int:
    """Return the length of the body, or 0 if it has none or comes in chunks.

    Raises `BadRequest` for a head that httptools accepts although it must be refused.
    """
    if version not in {"1.0", "1.1"}:
        raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are served.")
    hosts = 0
    length = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _is_host(value):
                raise BadRequest("The header Host is not a host with an optional port.")
        elif name == b"content-length":
            length = _length(value)
        elif name == b"transfer-encoding" and (version == "1.0" or value.lower() != b"chunked"):
            # RFC 9112, 6.1 asks for 501 where a coding is unknown. But no request, however
            # hostile, may look like a failure of the service.
            raise BadRequest(
                "The only Transfer-Encoding that is served is `chunked`, from HTTP/1.1 on."
            )
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise BadRequest("The header Host must be sent exactly once.")
    return length


def _length(value: bytes) -> int:
    try:
        return int(value)  # httptools has refused a second one, and whatever is not digits.
    except ValueError:  # Python reads at most 4300 digits.
        raise BadRequest("The header Content-Length is too long.") from None


def check_no_stray_body(method: bytes, headers: Headers, next_byte: int) -> None:
    """Raise `BadRequest` if JSON follows a head that announces no body.

    Node, for example, sends the body of DELETE so. No request begins like JSON, so the client
    meant it as the body, and the service must not act as if there were none (RFC 9112, 6.3).
    """
    if next_byte not in b"{[" or method not in _WITH_BODY:
        return
    if _FRAMING.isdisjoint(name for name, _ in headers):
        raise BadRequest(
            "The request has a body, but neither Content-Length nor Transfer-Encoding."
        )


@lru_cache(maxsize=64)
def _is_host(value: bytes) -> bool:
    # An empty host is valid by its grammar. Which names are right is for `KnownHosts` to say.
    return _HOST.fullmatch(value) is not None


def split_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes]:
    """Return the host of a request target (RFC 9112, 3.2), if it names one, and its path and query.

    Raises `BadRequest` for a target that is neither a path nor a URL, nor the `*` of OPTIONS,
    and for one with a fragment, because a client sends none.
    """
    if b"#" in target:
        raise BadRequest("The request target has a fragment, which begins with `#`.")
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return None, target
    absolute = _ABSOLUTE_FORM.match(target)
    if not absolute or not _is_host(absolute[1]):
        raise BadRequest("The request target is neither a path nor a valid http URL.")
    rest = target[absolute.end() :]
    return absolute[1], rest if rest.startswith(b"/") else b"/" + rest


def read_refused_head(head: bytes | bytearray) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Return the method of a head that was refused, and those of its fields that the answer needs.

    The head may end anywhere and hold anything.
    """
    method = _METHOD.match(head)
    fields = []
    for name, value in _KEPT_FIELD.findall(head):
        fields.append((name.lower(), value.strip(b" \t")))
    return method[1].decode() if method else _OTHER_METHOD, fields
