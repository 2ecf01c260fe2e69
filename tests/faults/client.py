"""A client that keeps one connection, and says of each request when it was sent and answered."""

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tests.faults.linearizability import Result

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TAG: Final = re.compile(rb'\r\netag: *("[^"]*")', re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_RETRY: Final = re.compile(rb"\r\nretry-after: *\d", re.IGNORECASE)

NOT_DONE: Final = "/problems/not-done"
OUTCOME_UNKNOWN: Final = "/problems/outcome-unknown"

_RESULTS: Final = {404: Result.MISSING, 412: Result.DIFFERS}


@dataclass(slots=True)
class Exchange:
    """A request and its answer. The status is 0 if no answer came."""

    method: str
    path: str
    called: float = field(default_factory=time.monotonic)
    is_sent: bool = False
    answered: float = 0
    status: int = 0
    tag: str = ""
    document: dict[str, Any] = field(default_factory=dict)  # Any: it is JSON.
    says_when_to_retry: bool = False

    @property
    def seconds(self) -> float:
        return self.answered - self.called

    @property
    def problem_type(self) -> str:
        return str(self.document.get("type")) if self.status >= 400 else ""

    @property
    def result(self) -> Result | None:
        """What happened. It is None if certainly nothing did."""
        if 200 <= self.status < 300:
            return Result.DONE
        if self.status in _RESULTS:
            return _RESULTS[self.status]
        if not self.is_sent or self.problem_type == NOT_DONE:
            return None
        return Result.UNKNOWN


class Client:
    """One connection, which is opened again when it was closed."""

    def __init__(self, port: int, patience: float) -> None:
        self._port = port
        self._patience = patience
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, document: object = None, **headers: str
    ) -> Exchange:
        """Send a request, and wait for the answer for as long as the client has patience."""
        body = b"" if document is None else msgspec.json.encode(document)
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/json")
        for name, value in headers.items():
            lines.append(f"{name.replace('_', '-')}: {value}")
        request = "\r\n".join([*lines, "", ""]).encode() + body
        exchange = Exchange(method, path)
        try:
            async with asyncio.timeout(self._patience):
                await self._exchange(request, exchange)
        except (OSError, EOFError):  # a timeout is an OSError
            self.close()
        exchange.answered = time.monotonic()
        return exchange

    async def _exchange(self, request: bytes, exchange: Exchange) -> None:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        exchange.is_sent = True
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        tag = _TAG.search(head)
        exchange.tag = tag[1].decode() if tag else ""
        exchange.says_when_to_retry = _RETRY.search(head) is not None
        if body:
            exchange.document = msgspec.json.decode(body)
        exchange.status = int(head[9:12])
        if _CLOSE.search(head):
            self.close()

    def close(self) -> None:
        if self._streams is not None:
            with suppress(OSError):
                self._streams[1].close()
            self._streams = None
