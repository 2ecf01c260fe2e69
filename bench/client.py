"""A client that asks one request after the other, for everything that wrk cannot do."""

import asyncio
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

CONNECTIONS: Final = 16
TIMEOUT_SECONDS: Final = 5

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
NEXT_PAGE: Final = re.compile(rb'<([^<>]*)>; rel="next"')
"""In the header `Link`."""
_TAG: Final = re.compile(rb'\r\netag: *("[^"]*")', re.IGNORECASE)


def http_request(method: str, path: str, body: str = "", *headers: str) -> bytes:
    """Return a request to the byte."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", body]).encode()


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes


class Client:
    """One connection, which is opened again after the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer | None:
        """Return the answer, or None if the connection fails or 5 seconds pass."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._ask(request)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return None

    async def _ask(self, request: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        if _CLOSE.search(head):
            self.close()
        return Answer(int(head[9:12]), head, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def walk(port: int, seconds: float) -> list[str]:
    """Return the paths of the pages along `Link`, as many as can be had in this time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    client = Client(port)
    paths = ["/pets/"]
    while answer := await client.ask(http_request("GET", paths[-1])):
        following = NEXT_PAGE.search(answer.head)
        if following is None or loop.time() > end:
            break
        paths.append(following[1].decode())
    client.close()
    return paths


async def tags(port: int, ids: list[int], seconds: float) -> dict[int, str]:
    """Return the tags of as many of these pets as can be had in this time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    found = {}

    async def collect(client: Client, own: Iterator[int]) -> None:
        for id_ in own:
            answer = await client.ask(http_request("GET", f"/pets/{id_}"))
            tag = answer and _TAG.search(answer.head)
            if not tag or loop.time() > end:
                break
            found[id_] = tag[1].decode()
        client.close()

    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(collect(Client(port), iter(ids[number::CONNECTIONS])))
    return found
