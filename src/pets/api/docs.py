"""A page on which to read and try the API. It loads nothing from another host."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from litestar import Controller, MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

_MEDIA_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


def _swagger_ui() -> Path:
    """Return the folder of Swagger UI's files.

    The package that brings them is not imported, because its code is not used.
    """
    package = find_spec("swagger_ui")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "static")


_FOLDER: Final = _swagger_ui()


class DocsController(Controller):
    include_in_schema = False

    @get("/")
    async def root(self) -> Redirect:
        return Redirect("/docs")

    @get("/docs", media_type=MediaType.HTML)
    async def page(self) -> Response[bytes]:
        page = files("pets.api").joinpath("docs.html").read_bytes()
        headers = {"Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:"}
        return Response(page, headers=headers)

    @get("/docs/swagger-ui/{name:str}", sync_to_thread=True)
    def file(self, name: FromPath[str]) -> Response[bytes]:
        if name not in _MEDIA_TYPES:
            raise NotFoundException
        content = _FOLDER.joinpath(name).read_bytes()
        headers = {"Cache-Control": "max-age=86400"}
        return Response(content, media_type=_MEDIA_TYPES[name], headers=headers)
