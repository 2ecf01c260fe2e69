"""A page on which to read and try the API. It loads nothing from another host."""

from importlib.metadata import distribution
from importlib.resources import files
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


# The package that brings the files is not imported, because its code is not used.
_FOLDER: Final = Path(str(distribution("swagger-ui-py").locate_file("swagger_ui/static")))


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
