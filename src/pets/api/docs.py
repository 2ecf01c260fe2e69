"""OpenAPI, and a page to read and try it, which loads nothing from another host."""

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
from pets.api.problems import RETRY_AFTER_SECONDS, Problem
from pets.api.schemas import Pet, PetCreate, PetPage, PetsDelete, PetsDeleted

_STRUCTS: Final = [Pet, PetCreate, PetPage, PetsDelete, PetsDeleted, Health, Problem]
_HEADERS: Final = {
    "201": {
        "Location": {
            "description": "The path of the pet.",
            "required": True,
            "schema": {"type": "string", "examples": ["/pets/1"]},
        }
    },
    "503": {
        "Retry-After": {
            "description": "In how many seconds to try again.",
            "required": True,
            "schema": {"type": "integer", "examples": [RETRY_AFTER_SECONDS]},
        }
    },
}


def document(app: Litestar) -> dict[str, Any]:  # Any: JSON
    """Return the OpenAPI document: Litestar's, with what that cannot say by itself.

    The components come from msgspec, which enforces them: Litestar leaves out that unknown members are refused, and
    rounds 2^63-1. The path gets the trailing slash that the API is known by, though both forms work. Headers get their
    schemas.
    """
    found = app.openapi_schema.to_schema()
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    found["components"] = {"schemas": components}
    found["paths"] = {"/pets/" if path == "/pets" else path: item for path, item in found["paths"].items()}
    for item in found["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                response["headers"] = _HEADERS.get(status, {})
    return found


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return msgspec.json.encode(document(request.app))


def _refuse_html(response: Response[Any]) -> Response[Any]:
    if response.status_code == 404:  # Litestar's own, for any other path below /schema, is a page of HTML
        raise NotFoundException
    return response


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Pets",
        version=version("pets"),
        description="Dogs and cats: create them, list them, delete them.",
        license=License(name="MIT", identifier="MIT"),
        render_plugins=[_Document()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_refuse_html),
    )


def _swagger_ui() -> Path:
    """Return the folder of Swagger UI, which a Python package brings; its code is not used, so not imported."""
    package = find_spec("swagger_ui")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "static")


_MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}
_FILES: Final = {name: _swagger_ui() / name for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")}


class DocsController(Controller):
    include_in_schema = False

    @get("/")
    async def root(self) -> Redirect:
        return Redirect("/docs")

    @get("/docs", media_type=MediaType.HTML)
    async def page(self) -> Response[bytes]:
        page = files("pets.api").joinpath("docs.html").read_bytes()
        return Response(page, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:"})

    @get("/docs/swagger-ui/{name:str}", sync_to_thread=True)
    def file(self, name: FromPath[str]) -> Response[bytes]:
        if name not in _FILES:
            raise NotFoundException
        path = _FILES[name]
        headers = {"Cache-Control": "max-age=86400"}
        return Response(path.read_bytes(), media_type=_MEDIA_TYPES[path.suffix], headers=headers)
