"""OpenAPI, and a page to read and try it, which loads nothing from another host."""

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Controller, Litestar, MediaType, Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License
from litestar.params import FromPath
from litestar.response import Redirect

from pets.api.health import Health
from pets.api.http.conditions import TAGS_PATTERN
from pets.api.http.idempotency import KEY_PATTERN
from pets.api.http.problems import RETRY_AFTER_SECONDS, Problem
from pets.api.http.queries import LISTING
from pets.api.schemas import Pet, PetCreate, PetPage, PetsDelete, PetsDeleted, PetUpdate
from pets.api.strict_json import MergePatch

JSON = dict[str, Any]  # Any: whatever JSON can hold


def _parameter(place: str, name: str, description: str, schema: Mapping[str, Any]) -> JSON:
    return {
        "in": place,
        "name": name,
        "description": description,
        "schema": {"type": "string", **schema},
    }


_STRUCTS: Final = [Pet, PetCreate, PetUpdate, PetPage, PetsDelete, PetsDeleted, Health, Problem]

_TAG: Final = '"690dfdd569130eb3d28a127ca1f5e760"'
_TAGS: Final = {"pattern": f"^({TAGS_PATTERN})$", "examples": [_TAG]}
_CONDITIONS: Final = [
    _parameter("header", "If-Match", "Only if the pet has one of these tags, else 412.", _TAGS),
    _parameter("header", "If-None-Match", "Only if the pet has none of these tags.", _TAGS),
]
_PARAMETERS: Final = {
    "createPet": [
        _parameter(
            "header",
            "Idempotency-Key",
            "Makes the request safe to send again: with the same key and pet it answers what it answered first.",
            {
                "pattern": f"^({KEY_PATTERN})$",
                "examples": ['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
            },
        )
    ],
    "listPets": [
        _parameter("query", name, parameter.description, parameter.schema)
        for name, parameter in LISTING.items()
    ],
    "deletePets": [
        _parameter(
            "query",
            "ids",
            "The ids, where a body cannot be sent.",
            {"type": "array", "items": {"type": "integer"}, "examples": [[1, 2]]},
        )
    ],
    "getPet": _CONDITIONS,
    "updatePet": _CONDITIONS,
    "deletePet": _CONDITIONS,
}


def _header(description: str, schema: JSON) -> JSON:
    return {"description": description, "required": True, "schema": schema}


_ETAG: Final = {
    "ETag": _header("Changes exactly when the pet does.", {"type": "string", "examples": [_TAG]})
}
_HEADERS: Final = {
    ("createPet", "201"): {
        "Location": _header("The path of the pet.", {"type": "string", "examples": ["/pets/1"]})
    },
    ("listPets", "200"): {
        "Link": _header(
            "Where the first page is, and the next, if there is one (RFC 8288).",
            {"type": "string", "examples": ['</pets/?limit=20>; rel="first"']},
        )
    },
    ("getPet", "200"): _ETAG,
    ("getPet", "304"): _ETAG,
    ("updatePet", "200"): _ETAG,
}
_RETRY: Final = {
    "Retry-After": _header(
        "In how many seconds to try again.", {"type": "integer", "examples": [RETRY_AFTER_SECONDS]}
    )
}


def document(app: Litestar) -> JSON:
    """Return the OpenAPI document: Litestar's, with what that cannot say by itself.

    The components come from msgspec, which enforces them: Litestar leaves out that unknown members are refused, and
    rounds 2^63-1. The path gets the trailing slash that the API is known by, though both forms work. Parameters that
    are read by hand, headers, and second media types are added.
    """
    found = app.openapi_schema.to_schema()
    _, components = msgspec.json.schema_components(
        _STRUCTS, ref_template="#/components/schemas/{name}"
    )
    found["components"] = {"schemas": components}
    found["paths"] = {
        "/pets/" if path == "/pets" else path: item for path, item in found["paths"].items()
    }
    operations = {
        operation["operationId"]: operation
        for item in found["paths"].values()
        for operation in item.values()
    }
    for name, operation in operations.items():
        operation["parameters"] = [*operation.get("parameters", []), *_PARAMETERS.get(name, [])]
        for status, response in operation["responses"].items():
            response["headers"] = _RETRY if status == "503" else _HEADERS.get((name, status), {})
    body = operations["updatePet"]["requestBody"]["content"]
    body.update(dict.fromkeys(MergePatch.media_types, body["application/json"]))
    operations["deletePets"]["requestBody"] = {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PetsDelete"}}},
    }
    return found


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: JSON) -> bytes:  # noqa: ARG002
        return msgspec.json.encode(document(request.app))


def _refuse_html(response: Response[Any]) -> Response[Any]:
    if (
        response.status_code == 404
    ):  # Litestar's own, for any other path below /schema, is a page of HTML
        raise NotFoundException
    return response


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Pets",
        version=version("pets"),
        description="Dogs and cats: create, find, change and delete them.",
        license=License(name="MIT", identifier="MIT"),
        render_plugins=[_Document()],
        openapi_router=Router(
            "/schema", route_handlers=[], include_in_schema=False, after_request=_refuse_html
        ),
    )


def _swagger_ui() -> Path:
    """Return the folder of Swagger UI, which a Python package brings; its code is not used, so not imported."""
    package = find_spec("swagger_ui")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "static")


_MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}
_FILES: Final = {
    name: _swagger_ui() / name
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
}


class DocsController(Controller):
    include_in_schema = False

    @get("/")
    async def root(self) -> Redirect:
        return Redirect("/docs")

    @get("/docs", media_type=MediaType.HTML)
    async def page(self) -> Response[bytes]:
        page = files("pets.api").joinpath("docs.html").read_bytes()
        return Response(
            page, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:"}
        )

    @get("/docs/swagger-ui/{name:str}", sync_to_thread=True)
    def file(self, name: FromPath[str]) -> Response[bytes]:
        if name not in _FILES:
            raise NotFoundException
        path = _FILES[name]
        headers = {"Cache-Control": "max-age=86400"}
        return Response(path.read_bytes(), media_type=_MEDIA_TYPES[path.suffix], headers=headers)
