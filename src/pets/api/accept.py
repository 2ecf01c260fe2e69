"""Which media type a client wants to get (RFC 9110, 12.5.1)."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from litestar.exceptions import HTTPException

from pets.asgi import Header, Scope

VARY: Final[Header] = (b"vary", b"Accept")
"""For each answer whose media type the client could choose."""

_ANY: Final = "*/*"
_WEIGHT: Final = re.compile(r"0?\.[0-9]+|0|1(\.0*)?")
"""As in RFC 9110, 12.4.2, and as Java and others write it: `.2`, or with more digits."""
_MAX_CACHED_BYTES: Final = 512
"""A longer header is not cached, so that the cache stays small."""


class NotAcceptable(HTTPException):
    status_code = 406

    def __init__(self, offered: Sequence[str]) -> None:
        detail = f"`Accept` must allow one of: {', '.join(offered)}."
        super().__init__(detail, headers={"Vary": "Accept"})


def wanted_type(scope: Scope, offered: tuple[str, ...]) -> str:
    """Return the one of the offered types that the client wants most.

    It is the first one for a client that has no preference. Raises `NotAcceptable`.
    """
    sent = b""
    for name, value in scope["headers"]:  # `header_values` would take half a microsecond more.
        if name == b"accept":
            sent = sent + b"," + value if sent else value
    if not sent or sent == b"*/*" or sent == offered[0].encode():
        return offered[0]
    choose = _choose if len(sent) > _MAX_CACHED_BYTES else _choose_cached
    wanted = choose(sent, offered)
    if wanted is None:
        raise NotAcceptable(offered)
    return wanted


def _choose(accept: bytes, offered: tuple[str, ...]) -> str | None:
    weights: dict[str, float] = {}
    for element in accept.decode("latin-1").lower().split(","):
        range_, *parameters = [part.strip() for part in element.split(";")]
        if range_ == "*":  # Java's HttpURLConnection sends it.
            range_ = _ANY
        if range_:
            weights[range_] = max(_weight(parameters), weights.get(range_, 0))
    if not weights:
        return offered[0]
    best = max(offered, key=lambda type_: _weight_of(type_, weights))
    return best if _weight_of(best, weights) else None


_choose_cached: Final = lru_cache(maxsize=64)(_choose)


def _weight(parameters: Sequence[str]) -> float:
    """Return the weight `q`. Other parameters are ignored, and so is a range with a bad weight."""
    for parameter in parameters:
        if parameter.startswith("q="):
            return float(parameter[2:]) if _WEIGHT.fullmatch(parameter[2:]) else 0
    return 1


def _weight_of(type_: str, weights: Mapping[str, float]) -> float:
    """Return the weight of the range that names the type most precisely."""
    for range_ in (type_, f"{type_.partition('/')[0]}/*", _ANY):
        if range_ in weights:
            return weights[range_]
    return 0
