"""Query parameters. They are read strictly: with a misspelt filter, all pets would be listed."""

import re
from binascii import a2b_hex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pets.api.problem_document import MAX_FAULTS, Fault
from pets.api.problems import InvalidParameters

_ENCODED_BYTE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_MAX_SHOWN: Final = 100
"""How many characters of an unknown name are shown."""

Values = dict[str, Any]
"""The values of parameters by name. Any: each parameter has its own type."""

Faults = dict[str, str]
"""What is wrong with parameters, by name."""


class Parameter(NamedTuple):
    """A query parameter of an operation."""

    read: Callable[[str], Any]
    """Converts a text, or raises `ValueError` or `KeyError`. Any: each has its own type."""
    rule: str
    """The values that are allowed, as in "must be …"."""
    description: str
    schema: Mapping[str, object]
    max_times: int = 1
    """How many times it may be sent. If that is more than once, its values are a list."""


Known = Mapping[str, Parameter]
"""The parameters of an operation by name."""

NONE: Final[Known] = MappingProxyType({})


def described(known: Known) -> Mapping[str, object]:
    """Return the descriptions of parameters, as OpenAPI has them."""
    return {
        name: {"description": parameter.description, "schema": parameter.schema}
        for name, parameter in known.items()
    }


def read_parameters(query_string: bytes, known: Known = NONE) -> Values:
    """Return the values of all parameters. Raises `InvalidParameters`, which names all faults."""
    if not query_string:
        return {}
    values, faults = values_and_faults(query_string, known)
    if faults:
        raise invalid(faults)
    return values


def values_and_faults(query_string: bytes, known: Known) -> tuple[Values, Faults]:
    """Return the values of the good parameters, and the faults of the bad ones."""
    found: dict[str, list[Any]] = {}  # Any: as in `Values`.
    faults: Faults = {}
    number = 0
    for part in query_string.replace(b"+", b" ").split(b"&"):
        if not part:
            continue
        encoded_name, _, encoded_text = part.partition(b"=")
        name = _decode(encoded_name).decode("utf-8", "backslashreplace")
        fault = _add(found, known, name, encoded_text)
        if fault:
            faults.setdefault(name[:_MAX_SHOWN], fault)
            number += 1
            if number == MAX_FAULTS:
                break
    values: Values = {}
    for name, sent in found.items():
        if sent:
            values[name] = sent if known[name].max_times > 1 else sent[0]
    return values, faults


def _add(found: dict[str, list[Any]], known: Known, name: str, encoded_text: bytes) -> str:
    """Add the value of one parameter, or return what is wrong with it."""
    if name not in known:
        return f"is not known here. Known are: {', '.join(known) or 'none'}"
    parameter = known[name]
    sent = found.setdefault(name, [])
    try:
        value = parameter.read(_decode(encoded_text).decode())
    except UnicodeDecodeError:
        return "is not UTF-8"
    except (ValueError, KeyError):
        return f"must be {parameter.rule}"
    if len(sent) == parameter.max_times:
        times = "once" if parameter.max_times == 1 else f"{parameter.max_times:,} times"
        return f"is sent more than {times}"
    sent.append(value)
    return ""


def _decode(encoded: bytes) -> bytes:
    return _ENCODED_BYTE.sub(_decode_byte, encoded) if b"%" in encoded else encoded


def _decode_byte(match: re.Match[bytes]) -> bytes:
    return a2b_hex(match[1])


def invalid(faults: Faults) -> InvalidParameters:
    """Return the error about these faults. Its detail is about the first one."""
    listed = [Fault(parameter=name, detail=fault) for name, fault in faults.items()]
    detail = f"The query parameter `{listed[0].parameter}` {listed[0].detail}."
    if len(listed) > 1:
        detail += f" The query has {len(listed)} faults, which `errors` lists."
    return InvalidParameters(detail, listed)
