"""Pages for readers: the API, to read and to try, and the types of problems."""

from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Final

from litestar import Controller, MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from pets.api.http.problems import NOT_DONE, OUTCOME_UNKNOWN

_PROBLEMS: Final = {
    NOT_DONE: "The service could not do what the request asks, and has changed nothing. "
    "The request is safe to send again after the seconds of `Retry-After`.\n",
    OUTCOME_UNKNOWN: "The service lost its store in the middle of the request. "
    "The change may have been made or not. Read the pets to find out, or send a creation with an "
    "`Idempotency-Key`, which is safe to send again.\n",
}

_MEDIA_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


# The package that brings the files is not imported, because its code is not used.
_FOLDER: Final = Path(str(distribution("swagger-ui-py").locate_file("swagger_ui/static")))


_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and do: nothing inline, nothing from another host, and not in a frame."""

_PAGE_HEADERS: Final = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}


def _own_file(name: str) -> bytes:
    return files("pets.api").joinpath(name).read_bytes()


class DocsController(Controller):
    include_in_schema = False

    @get("/")
    async def root(self) -> Redirect:
        return Redirect("/docs")

    @get("/problems/{name:str}", media_type=MediaType.TEXT)
    async def problem(self, name: FromPath[str]) -> str:
        text = _PROBLEMS.get(f"/problems/{name}")
        if text is None:
            raise NotFoundException
        return text

    @get("/docs", media_type=MediaType.HTML)
    async def page(self) -> Response[bytes]:
        """Return a page that loads nothing from another host."""
        return Response(_own_file("docs.html"), headers=_PAGE_HEADERS)

    @get("/docs/docs.js", media_type="text/javascript")
    async def script(self) -> bytes:
        return _own_file("docs.js")

    @get("/docs/swagger-ui/{name:str}", sync_to_thread=True)
    def file(self, name: FromPath[str]) -> Response[bytes]:
        if name not in _MEDIA_TYPES:
            raise NotFoundException
        content = _FOLDER.joinpath(name).read_bytes()
        headers = {"Cache-Control": "max-age=86400"}
        return Response(content, media_type=_MEDIA_TYPES[name], headers=headers)
