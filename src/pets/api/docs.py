"""Pages for people: the API, described and to be tried, the types of problems, and wrong paths."""

import asyncio
from functools import cache, partial
from html import escape
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from litestar import Controller, MediaType, Request, Response, Router, get
from litestar.datastructures.headers import Accept
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from pets.api import problem_types
from pets.api.answer import Answer
from pets.api.compression import GZIP, VARY, accepts_gzip, compress
from pets.api.conditions import TaggedAnswer
from pets.api.problems import EXCEPTION_HANDLERS, MEDIA_TYPE
from pets.api.request import ApiRequest
from pets.api.root_path import path_for_clients
from pets.asgi import Header, header_values

_SWAGGER_FILES: Final = {
    "swagger-ui-bundle.js": ("swagger_bundle.js", b"text/javascript; charset=utf-8"),
    "swagger-ui.css": ("swagger_style.css", b"text/css; charset=utf-8"),
}
"""Swagger UI's own names of the files, and their names and media types in the package `offapi`."""


# The package is not imported, because its code would read all its files.
_FOLDER: Final = Path(str(distribution("offapi").locate_file("offapi")))


_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page may load nothing inline and nothing from another host, and may not be in a frame."""

_PAGE_HEADERS: Final = ((b"content-security-policy", _POLICY), (b"referrer-policy", b"no-referrer"))

_MAX_ACCEPT_LENGTH: Final = 500
"""Browsers send up to 200 bytes. To read 16 KiB would take 160 ms."""


class File:
    """A file that is compressed once and kept. All answers share its bytes.

    Each coding has a tag of its own, because a strong tag stands for the bytes that are sent.
    """

    def __init__(self, body: bytes, media_type: bytes, *headers: Header) -> None:
        tagged = partial(TaggedAnswer, media_type=media_type, for_caches=(VARY,))
        self._plain = tagged(body, *headers)
        self._compressed = tagged(compress(body), GZIP, *headers)

    def to(self, request: ApiRequest) -> Answer:
        tagged = self._compressed if accepts_gzip(request.scope) else self._plain
        return tagged.to(request)


@cache
def _text(name: str) -> str:
    return files("pets.api").joinpath(name).read_text(encoding="utf-8")


def _own_text(name: str) -> str:
    """Return the text of a file of this package. Its paths are as clients see them."""
    return _text(name).replace('"/', f'"{path_for_clients("/")}')


def _own_file(name: str, media_type: bytes, *headers: Header) -> File:
    return _own_file_below(path_for_clients("/"), name, media_type, *headers)


@cache
def _own_file_below(_root: str, name: str, media_type: bytes, *headers: Header) -> File:
    return File(_own_text(name).encode(), media_type, *headers)


@cache
def _swagger_file(name: str) -> File:
    file, media_type = _SWAGGER_FILES[name]
    return File((_FOLDER / file).read_bytes(), media_type)


# Any: Litestar knows of no narrower type of request here.
def answer_not_found(request: Request[Any, Any, Any], error: NotFoundException) -> Response[Any]:
    """Answer 404 with a page if the client prefers HTML, as a browser does, or with the problem."""
    answer: Response[Any] = EXCEPTION_HANDLERS[Exception](request, error)
    if request.method != "GET":  # HEAD is answered like GET.
        return answer
    if _prefers_page(request):
        text = _own_text("not_found.html").replace("DETAIL", escape(answer.content.detail))
        answer = Response(text, status_code=404, media_type=MediaType.HTML)
        for name, value in _PAGE_HEADERS:
            answer.set_header(name.decode(), value.decode())
    answer.set_header("Vary", "Accept")
    return answer


def _prefers_page(request: Request[Any, Any, Any]) -> bool:
    accept = b",".join(header_values(request.scope, b"accept")).decode("latin-1")
    if len(accept) > _MAX_ACCEPT_LENGTH:
        return False
    offered = [MEDIA_TYPE, MediaType.JSON, MediaType.HTML]
    return Accept(accept).best_match(offered) == MediaType.HTML


class DocsController(Controller):
    include_in_schema = False

    def __init__(self, owner: Router) -> None:
        super().__init__(owner)
        self._turn = asyncio.Lock()

    @get("/")
    async def root(self) -> Redirect:
        return Redirect(path_for_clients("/docs"))

    @get("/problems/{name:str}", media_type=MediaType.TEXT)
    async def problem(self, name: FromPath[str]) -> str:
        text = problem_types.page(f"/problems/{name}")
        if text is None:
            raise NotFoundException
        return text

    @get("/docs")
    async def page(self, request: ApiRequest) -> Answer:
        """Return a page that loads nothing from another host."""
        return _own_file("docs.html", b"text/html; charset=utf-8", *_PAGE_HEADERS).to(request)

    @get("/docs/docs.js")
    async def script(self, request: ApiRequest) -> Answer:
        return _own_file("docs.js", b"text/javascript; charset=utf-8").to(request)

    @get("/docs/docs.css")
    async def style(self, request: ApiRequest) -> Answer:
        return _own_file("docs.css", b"text/css; charset=utf-8").to(request)

    @get("/docs/swagger-ui/{name:str}")
    async def file(self, name: FromPath[str], request: ApiRequest) -> Answer:
        if name not in _SWAGGER_FILES:
            raise NotFoundException
        # To write 1.6 MB takes as long as several listings. So at most one of these answers begins
        # in a turn of the event loop, even if there are many requests for them. The thread
        # compresses the file for the first of them, which takes 70 ms.
        async with self._turn:
            file = await asyncio.to_thread(_swagger_file, name)
        return file.to(request)
