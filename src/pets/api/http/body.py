"""Bodies of requests: their media type, their coding, and JSON read strictly."""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from litestar.dto import MsgspecDTO
from litestar.exceptions import ClientException, HTTPException
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition
from msgspec import Struct

from pets.api.http.problems import InvalidBody
from pets.api.http.request import PATCH_MEDIA_TYPES, headers
from pets.api.strict_json import Invalid, NotJSON, decode

Body = TypeVar("Body", bound=Struct)


class StrictJSON(MsgspecDTO[Body], Generic[Body]):
    """Reads a body of `application/json` into a struct.

    Litestar's own reading converts between types, takes any media type, and stops at the first
    fault.
    """

    media_types: ClassVar[Sequence[str]] = ["application/json"]

    def decode_bytes(self, value: bytes) -> Any:  # Any: as the method that it overrides
        """Return the struct that the body holds.

        Raises `HTTPException` 415 for another media type or coding, `ClientException` for a body
        that is not JSON, and `InvalidBody` for JSON that is not such a struct.
        """
        self._check_media_type()
        self._check_coding()
        struct = self.model_type
        try:
            return decode(value, struct)
        except NotJSON as error:
            raise ClientException(f"The body {error}.") from None
        except Invalid as error:
            detail = f"The body is not a valid {struct.__name__}."
            raise InvalidBody(detail, error.faults) from None

    def _check_media_type(self) -> None:
        content_type = b"".join(headers(self.asgi_connection.scope, b"content-type"))
        media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
        if media_type not in self.media_types:
            media_types = "` or `".join(self.media_types)
            detail = f"The body must be `{media_types}`, and the header Content-Type must say so."
            raise HTTPException(status_code=415, detail=detail)

    def _check_coding(self) -> None:
        for coding in headers(self.asgi_connection.scope, b"content-encoding"):
            if coding.lower() not in {b"", b"identity"}:
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

    media_types = PATCH_MEDIA_TYPES
