"""Bodies of JSON, read strictly: no "7" for 7, no unknown member, and all faults told at once."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar, Final, Generic, TypeVar, get_args
from urllib.parse import quote

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.dto import MsgspecDTO
from litestar.exceptions import ClientException, HTTPException
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition
from msgspec import Struct, UnsetType

from pets.api.http.problems import Fault, InvalidBody

MAX_FAULTS: Final = 100

AnyConnection = ASGIConnection[
    Any, Any, Any, Any
]  # Any: nobody is authenticated, nothing is kept in a request

Body = TypeVar("Body", bound=Struct)


def headers(connection: AnyConnection, name: bytes) -> list[bytes]:
    """Return the values of a header, one for each time that it was sent."""
    return [value for key, value in connection.scope["headers"] if key == name]


class LeanRequest(Request[Any, Any, Any]):
    """Finds its length without Litestar's `Headers`, whose making takes a fifth of the time to create a pet."""

    @property
    def content_length(self) -> int | None:
        length = b"".join(headers(self, b"content-length"))
        return int(length) if length.isdigit() else None


class StrictJSON(MsgspecDTO[Body], Generic[Body]):
    """Reads a body of `application/json` into a struct.

    Litestar's own reading converts between types, takes any media type, and stops at the first fault.
    """

    media_types: ClassVar[Sequence[str]] = ["application/json"]

    def decode_bytes(self, value: bytes) -> Any:  # Any: as the method that it overrides
        """Return the struct that the body holds.

        Raises `HTTPException` 415 for another media type or coding, `ClientException` for a body
        that is not JSON, and `InvalidBody` for JSON that is not such a struct.
        """
        self._check_media_type()
        self._check_coding()
        try:
            return decode(value, self.model_type)
        except NotJSON as error:
            raise ClientException(f"The body {error}.") from None
        except Invalid as error:
            raise InvalidBody(
                f"The body is not a valid {self.model_type.__name__}.", error.faults
            ) from None

    def _check_media_type(self) -> None:
        values = b"".join(headers(self.asgi_connection, b"content-type"))
        media_type = values.partition(b";")[0].strip().lower().decode("latin-1")
        if media_type not in self.media_types:
            expected = " or ".join(f"`{known}`" for known in self.media_types)
            detail = f"The body must be {expected}, and its header say so."
            raise HTTPException(status_code=415, detail=detail)

    def _check_coding(self) -> None:
        for value in headers(self.asgi_connection, b"content-encoding"):
            if value.lower() not in {b"", b"identity"}:
                raise HTTPException(
                    status_code=415,
                    detail="The body must be sent without a Content-Encoding.",
                    headers={"Accept-Encoding": "identity"},  # RFC 9110, 15.5.16
                )

    @classmethod
    def create_openapi_schema(
        cls,
        field_definition: FieldDefinition,
        handler_id: str,  # noqa: ARG003  # Litestar's signature
        schema_creator: Any,
    ) -> Reference | Schema:
        return schema_creator.for_field_definition(field_definition)  # type: ignore[no-any-return]  # private in Litestar


class MergePatch(StrictJSON[Body], Generic[Body]):
    """Reads a JSON merge patch (RFC 7396)."""

    media_types = [*StrictJSON.media_types, "application/merge-patch+json"]


class NotJSON(ValueError):
    """The message says why, of the text that was read."""


class Invalid(ValueError):
    """A document that is not the struct asked for."""

    def __init__(self, document: object, struct: type[Struct]) -> None:
        super().__init__(struct.__name__)
        self.faults = list(islice(_faults(document, struct), MAX_FAULTS))


def decode(text: bytes, struct: type[Body]) -> Body:
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


def convert(document: object, struct: type[Body]) -> Body:
    """Return the struct that a document of plain values holds. Raises `Invalid`."""
    try:
        return msgspec.convert(document, struct)
    except msgspec.ValidationError:
        raise Invalid(document, struct) from None


def _faults(document: object, struct: type[Struct]) -> Iterator[Fault]:
    if not isinstance(document, dict):
        yield Fault("#", "must be an object")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for name, field in fields.items():
        pointer = f"#/{name}"
        if name in document:
            kinds = get_args(field.type)
            annotation = kinds[0] if UnsetType in kinds else field.type
            yield from _value_faults(document[name], annotation, pointer)
        elif field.required:
            yield Fault(pointer, "is required")
    for name in document:
        if name not in fields:
            escaped = name.replace("~", "~0").replace("/", "~1")
            yield Fault(f"#/{quote(escaped)}", "is not a member that is known here")


def _value_faults(value: Any, annotation: Any, pointer: str) -> Iterator[Fault]:
    """Check a value against `Annotated[kind, Meta(description=…)]`, which says what the value must be."""
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        kind, rule = get_args(annotation)
        if " - at `$[" in str(error):
            (item_annotation,) = get_args(kind)
            for index, item in enumerate(value):
                yield from _value_faults(item, item_annotation, f"{pointer}/{index}")
        else:
            yield Fault(pointer, f"must be {rule.description}")
