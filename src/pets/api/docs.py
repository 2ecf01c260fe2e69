"""OpenAPI, and a page to read and try it, which loads nothing from another host."""

from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Final

import msgspec
from litestar import Controller, MediaType, Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License
from litestar.response import Redirect
from litestar.static_files import create_static_files_router

from pets.api.health import Health
from pets.api.problems import Problem
from pets.api.schemas import Pet, PetCreate, PetPage, PetsDelete, PetsDeleted

_STRUCTS: Final = [Pet, PetCreate, PetPage, PetsDelete, PetsDeleted, Health, Problem]
_PAGE: Final = files("pets.api").joinpath("docs.html").read_bytes()


def accurate(document: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    """Return Litestar's OpenAPI document with what it cannot say by itself.

    The components come from msgspec, which enforces them: Litestar leaves out that unknown members are refused, and
    rounds 2^63-1. The paths get the trailing slash that the API is known by; both forms work.
    """
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    paths = {"/pets/" if path == "/pets" else path: item for path, item in document["paths"].items()}
    return {**document, "paths": paths, "components": {"schemas": components}}


class _AccurateJSON(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, accurate(openapi_schema))


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
        render_plugins=[_AccurateJSON()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_refuse_html),
    )


class DocsController(Controller):
    include_in_schema = False

    @get("/")
    async def root(self) -> Redirect:
        return Redirect("/docs")

    @get("/docs", media_type=MediaType.HTML)
    async def page(self) -> Response[bytes]:
        return Response(_PAGE, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:"})


def swagger_ui() -> Router:
    """Return the files of Swagger UI, which a Python package brings; only its folder is used, not its code."""
    package = find_spec("swagger_ui")
    assert package is not None
    assert package.submodule_search_locations
    folder = f"{package.submodule_search_locations[0]}/static"
    return create_static_files_router("/docs/swagger-ui", directories=[folder], include_in_schema=False)
