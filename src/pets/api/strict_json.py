"""JSON read strictly: no "7" for 7, no unknown member, and all faults are named at once."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import quote

import msgspec
from msgspec import Struct, UnsetType

from pets.api.schemas import MAX_FAULTS, Fault

AnyStruct = TypeVar("AnyStruct", bound=Struct)


class NotJSON(ValueError):
    """The text is not JSON. The message says why, and continues a sentence about the text."""


class Invalid(ValueError):
    """The document is JSON, but not the struct that it should be."""

    def __init__(self, document: object, struct: type[Struct]) -> None:
        super().__init__(struct.__name__)
        self.faults = list(islice(_faults(document, struct), MAX_FAULTS))


def decode(text: bytes, struct: type[AnyStruct]) -> AnyStruct:
    """Return the struct that JSON holds. Raises `NotJSON` and `Invalid`."""
    try:
        try:
            return msgspec.json.decode(text, type=struct)
        except msgspec.ValidationError:
            # Of a member named twice the last one counts, but the decoder checks each of them.
            document = msgspec.json.decode(text)
    except RecursionError:
        raise NotJSON("is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJSON(f"cannot be read as JSON: {error}") from None
    return convert(document, struct)


def convert(document: object, struct: type[AnyStruct]) -> AnyStruct:
    """Return the struct that a document of plain values holds. Raises `Invalid`."""
    try:
        return msgspec.convert(document, struct)
    except msgspec.ValidationError:
        raise Invalid(document, struct) from None


def _faults(document: object, struct: type[Struct]) -> Iterator[Fault]:
    if not isinstance(document, dict):
        yield Fault("#", "must be an object")
        return
    unknown = dict(document)
    for field in msgspec.structs.fields(struct):
        pointer = f"#/{field.name}"
        if field.name in unknown:
            yield from _value_faults(unknown.pop(field.name), _annotation(field.type), pointer)
        elif field.required:
            yield Fault(pointer, "is required")
    for name in unknown:
        escaped = name.replace("~", "~0").replace("/", "~1")
        yield Fault(f"#/{quote(escaped)}", "is not a member that is known here")


# Any: mypy knows no type of annotations.
def _annotation(kind: Any) -> Any:
    """Return the annotation of a member that may be left out, without its `UnsetType`."""
    kinds = get_args(kind)
    return kinds[0] if UnsetType in kinds else kind


# Any: mypy knows no type of annotations.
def _value_faults(value: object, annotation: Any, pointer: str) -> Iterator[Fault]:
    """Check a value against `Annotated[kind, Meta(description=…)]`, which says what it must be."""
    kind, rule = get_args(annotation)
    if get_origin(kind) is list and isinstance(value, list) and len(value) <= rule.max_length:
        (item_annotation,) = get_args(kind)
        for index, item in enumerate(value):
            yield from _value_faults(item, item_annotation, f"{pointer}/{index}")
        return
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        yield Fault(pointer, f"must be {rule.description}")
