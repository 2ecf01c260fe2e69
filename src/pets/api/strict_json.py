"""JSON, read strictly: no "7" for 7, no unknown members, and all faults are reported at once.

A client may send a text that is slow to decode on purpose. So all members of an invalid text are
checked, but a value is decoded only as the type that it must have.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar, get_args, get_origin
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct, UnsetType

from pets.api.problem_document import MAX_FAULTS, Fault
from pets.domain.pet import composed

AnyStruct = TypeVar("AnyStruct", bound=Struct)
_FAILURES: Final = (RecursionError, UnicodeDecodeError, msgspec.DecodeError)

Members = dict[str, Raw]
Annotation: TypeAlias = Any  # Any: mypy knows no type of annotations.


class NotJSON(ValueError):
    """The text is not JSON. The message says why, and continues a sentence about the text."""


class Invalid(ValueError):
    """The document is JSON, but not a valid struct of the wanted type."""

    def __init__(self, struct: type[Struct], faults: list[Fault]) -> None:
        super().__init__(struct.__name__)
        self.faults = faults


def decode(text: bytes, struct: type[AnyStruct]) -> AnyStruct:
    """Return the struct that JSON holds. Raises `NotJSON` and `Invalid`."""
    try:
        return _decode(text, struct, "#")
    except _FAILURES as error:
        raise _not_json(error) from None


def decode_array(text: bytes, array: Annotation, struct: type[AnyStruct]) -> list[AnyStruct]:
    """Return the structs of an array, which is `Annotated[list[struct], Meta(…)]`.

    Raises `NotJSON` and `Invalid`.
    """
    try:
        return _decode_array(text, array, struct)
    except _FAILURES as error:
        raise _not_json(error) from None


def _not_json(error: Exception) -> NotJSON:
    match error:
        case RecursionError():
            return NotJSON("is nested too deeply")
        case UnicodeDecodeError():
            return NotJSON("cannot be read as JSON: it is not UTF-8")
        case _:
            return NotJSON(f"cannot be read as JSON: {error}")


def _decode(text: bytes, struct: type[AnyStruct], pointer: str) -> AnyStruct:
    try:
        return msgspec.json.decode(text, type=struct)
    except msgspec.ValidationError:
        # If a member occurs twice, the last one counts, but the decoder has checked both.
        members = _members(text, struct)
        faults = list(islice(_faults(members, struct, pointer), MAX_FAULTS))
        if faults:
            raise Invalid(struct, faults) from None
        return msgspec.json.decode(msgspec.json.encode(members), type=struct)


def _decode_array(text: bytes, array: Annotation, struct: type[AnyStruct]) -> list[AnyStruct]:
    _, rule = get_args(array)
    text.decode()  # `Raw` takes any bytes in a string.
    items = _items(msgspec.json.decode(text, type=Raw))
    if items is None or not rule.min_length <= len(items) <= rule.max_length:
        raise Invalid(struct, [Fault(pointer="#", detail=f"must be {rule.description}")])
    structs = []
    faults: list[Fault] = []
    for index, item in enumerate(items):
        try:
            structs.append(_decode(bytes(item), struct, f"#/{index}"))
        except Invalid as error:
            faults += error.faults
        if len(faults) >= MAX_FAULTS:
            break
    if faults:
        raise Invalid(struct, faults[:MAX_FAULTS])
    return structs


def convert(document: object, struct: type[AnyStruct]) -> AnyStruct:
    """Return the struct that a document of plain values holds. Raises `Invalid`."""
    try:
        return msgspec.convert(document, struct)
    except msgspec.ValidationError:
        return decode(msgspec.json.encode(document), struct)


def _members(text: bytes, struct: type[Struct]) -> Members | None:
    """Return the members of a JSON object, or None if the text is any other JSON.

    Those of the struct that are texts are in Unicode's form NFC, in which names are kept, so that
    this form is validated.
    Raises what `msgspec` raises for a text that is not JSON, and `UnicodeDecodeError`.
    """
    text.decode()  # `Raw` takes any bytes in a string.
    document = msgspec.json.decode(text, type=Raw)
    try:
        members = msgspec.json.decode(document, type=Members)
    except msgspec.ValidationError:
        return None
    for name in struct.__struct_fields__:
        if name in members:
            members[name] = _composed(members[name])
    return members


def _composed(value: Raw) -> Raw:
    try:
        text = msgspec.json.decode(value, type=str)
    except msgspec.ValidationError:
        return value
    return Raw(msgspec.json.encode(composed(text)))


def _faults(members: Members | None, struct: type[Struct], place: str) -> Iterator[Fault]:
    if members is None:
        yield Fault(pointer=place, detail="must be an object")
        return
    unknown = dict(members)
    for field in msgspec.structs.fields(struct):
        pointer = f"{place}/{field.name}"
        if field.name in unknown:
            yield from _value_faults(unknown.pop(field.name), _annotation(field.type), pointer)
        elif field.required:
            yield Fault(pointer=pointer, detail="is required")
    for name in unknown:
        escaped = name.replace("~", "~0").replace("/", "~1")
        yield Fault(
            pointer=f"{place}/{quote(escaped)}", detail="is not a member that is known here"
        )


def _annotation(annotation: Annotation) -> Annotation:
    """Return an annotation without `UnsetType`, which only says that the member may be left out."""
    kinds = get_args(annotation)
    return kinds[0] if UnsetType in kinds else annotation


def _value_faults(value: Raw, annotation: Annotation, pointer: str) -> Iterator[Fault]:
    """Check a value against `Annotated[kind, Meta(description=…)]`. The description is the rule."""
    kind, rule = get_args(annotation)
    if get_origin(kind) is not list:
        yield from _faults_of([(pointer, value)], annotation)
        return
    items = _items(value)
    if items is None or len(items) > rule.max_length:
        yield Fault(pointer=pointer, detail=f"must be {rule.description}")
        return
    (item_annotation,) = get_args(kind)
    pointed = ((f"{pointer}/{index}", item) for index, item in enumerate(items))
    yield from _faults_of(pointed, item_annotation)


def _items(value: Raw) -> list[Raw] | None:
    """Return the items of an array, or None if the value is no array."""
    try:
        return msgspec.json.decode(value, type=list[Raw])
    except msgspec.ValidationError:
        return None


def _faults_of(values: Iterable[tuple[str, Raw]], annotation: Annotation) -> Iterator[Fault]:
    """Check values of one kind, each with its pointer."""
    _, rule = get_args(annotation)
    decoder = msgspec.json.Decoder(annotation)
    for pointer, value in values:
        try:
            decoder.decode(value)
        except msgspec.ValidationError:
            yield Fault(pointer=pointer, detail=f"must be {rule.description}")
