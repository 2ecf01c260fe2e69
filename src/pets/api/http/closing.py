"""The end of a connection whose client is still sending."""

import asyncio
from typing import Final, Never

from litestar.exceptions import HTTPException

LINGER_SECONDS: Final = 5
"""For how long, in all, bytes that come after the last answer are discarded."""


class LingeringTransport(asyncio.Transport):
    """Closes a connection in two steps, because the client is still sending (RFC 9112, 9.6).

    Closing a connection with unread bytes resets it, and a reset can destroy an answer before the
    client has read it. So only the sending side is closed first. The protocol discards what comes
    until the client closes, or until LINGER_SECONDS have passed.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self.started = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self.started or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self.started = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(LINGER_SECONDS, self._transport.close)


class BrokenBody(asyncio.Event):
    """The arrival of a body that can never be read. Waiting for it raises the refusal."""

    def __init__(self, refusal: HTTPException) -> None:
        super().__init__()
        self._refusal = refusal

    async def wait(self) -> Never:
        raise self._refusal
