"""All pets of a query, sent as they are read from the store."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from litestar.types import ASGIApp

from pets.api.accept import VARY
from pets.api.answer import Answer
from pets.api.conditions import is_met
from pets.api.formats import CSV, CSV_TYPE, NDJSON_TYPE, ndjson_lines
from pets.api.queries import read_stream_query
from pets.api.request import ApiRequest
from pets.asgi import IS_HEAD, Header, Receive, Scope, Send, path_as_sent
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import Pet
from pets.domain.query import PetQuery
from pets.domain.repository import PetRepository

logger = logging.getLogger(__name__)

MAX_STREAMS: Final = 3
"""How many streams a process sends at once.

Each keeps a connection to the store as long as its client takes. There are five for searches.
"""

MAX_STREAM_SECONDS: Final = 3600
"""How long a stream may take. So long the store keeps what others change and delete meanwhile."""

STREAM_TYPES: Final = (NDJSON_TYPE, CSV_TYPE)

_WRITERS: Final[dict[str, tuple[bytes, Callable[[Sequence[Pet]], bytes]]]] = {
    NDJSON_TYPE: (b"", ndjson_lines),
    CSV_TYPE: (CSV.header, CSV.lines),
}
"""How a body of each media type begins, and how pets are written into it."""

_CONTENT_TYPES: Final = {
    NDJSON_TYPE: NDJSON_TYPE.encode(),
    CSV_TYPE: f"{CSV_TYPE}; charset=utf-8".encode(),
}


class Streams:
    """The streams of a process."""

    def __init__(self) -> None:
        self.running = 0

    def answer(self, request: ApiRequest, media_type: str) -> ASGIApp:
        """Return the answer with all pets of the request's query. Raises as a listing does."""
        query = read_stream_query(request.scope["query_string"])
        if not is_met(request, None):
            return Answer(304, b"", VARY)
        if IS_HEAD in request.scope:
            return _Head(media_type)
        return _Stream(self, request.repository, query, media_type)


class _Head:
    """The head of a stream. Its length is not known."""

    def __init__(self, media_type: str) -> None:
        self._headers: list[Header] = [(b"content-type", _CONTENT_TYPES[media_type]), VARY]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await self._start(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})


class _Stream(_Head):
    """An ASGI application that sends pets.

    It begins its answer when the first pets are read, because a failure can be told until then.
    After that it can only leave the answer unfinished. The server then cuts off the connection.
    """

    def __init__(
        self, streams: Streams, repository: PetRepository, query: PetQuery, media_type: str
    ) -> None:
        super().__init__(media_type)
        self._streams = streams
        self._repository = repository
        self._query = query
        self._beginning, self._write = _WRITERS[media_type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.running >= MAX_STREAMS:
            raise StoreUnavailable(f"{MAX_STREAMS} streams are being sent. Try again later.")
        self._streams.running += 1
        try:
            async with aclosing(self._parts()) as parts:
                first = await anext(parts, b"")
                await self._start(send)
                await _send_or_cut_off(scope, receive, send, first, parts)
        finally:
            self._streams.running -= 1

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body, in each part the pets of one read."""
        left = self._query.limit
        begun = self._beginning
        async with aclosing(self._repository.export(self._query)) as chunks:
            async for pets in chunks:
                yield begun + self._write(pets[:left])
                begun = b""
                left -= len(pets)
                if left <= 0:
                    return
        if begun:
            yield begun


async def _send_or_cut_off(
    scope: Scope, receive: Receive, send: Send, first: bytes, parts: AsyncGenerator[bytes, None]
) -> None:
    """Send the parts of a body. Leave it without an end if the store fails or time is over."""
    client_has_gone = asyncio.create_task(_wait_until_gone(receive))
    try:
        async with asyncio.timeout(MAX_STREAM_SECONDS):
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for part in parts:
                await asyncio.sleep(0)  # Others get their turn if nothing has to be waited for.
                if client_has_gone.done():  # The server would discard everything in silence.
                    return
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except StoreUnavailable as error:
        path = path_as_sent(scope["raw_path"])
        logger.error("GET %s was cut off: %s %s", path, error, error.reason)  # noqa: TRY400  # One line says it all.
    except TimeoutError:
        path = path_as_sent(scope["raw_path"])
        logger.warning("GET %s was cut off after %d seconds", path, MAX_STREAM_SECONDS)
    except asyncio.CancelledError:
        pass  # The client has gone, or the service stops. No other answer can be sent.
    finally:
        client_has_gone.cancel()
        # It fails if the client sends a body that is malformed, and nobody wants to know why.
        await asyncio.gather(client_has_gone, return_exceptions=True)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
