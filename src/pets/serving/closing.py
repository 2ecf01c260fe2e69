"""What answers are written to, and the end of a connection."""

import asyncio
import socket
import struct
from typing import Final, Never

from uvicorn.protocols.http.flow_control import FlowControl

from pets.serving.errors import Refusal, log_refusal

LINGER_SECONDS: Final = 5
"""For how long, in all, bytes that come after the last answer are discarded."""


_CHUNKED: Final = b"\r\ntransfer-encoding: chunked"


class AnswerTransport(asyncio.Transport):
    """Writes answers, without chunks if the client knows none, and closes without losing them.

    Closing a connection with unread bytes resets it, and a reset can destroy an answer before the
    client has read it (RFC 9112, 9.6). So while the client is sending, only the sending side is
    closed at first. The protocol discards what comes until the client closes, or until the sweep
    ends this after LINGER_SECONDS.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self.takes_chunks = True  # HTTP/1.0 does not (RFC 9112, 6.1).
        self._drops_chunks = False  # whether a body is written without its chunks
        self.lingers = False  # whether the client is still sending
        self.is_lingering = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.takes_chunks:
            data = self._without_chunks(bytes(data))
        self._transport.write(data)

    def _without_chunks(self, data: bytes) -> bytes:
        """Let the end of the connection be the end of a body, and let any other end be a reset.

        So the client sees whether the body is complete, even if this process is killed.
        """
        if self._drops_chunks:
            return self._content_of_chunk(data)
        head, end, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 ") or _CHUNKED not in head:
            return data
        self._drops_chunks = True
        self._reset_at_end(is_on=True)
        return head.replace(_CHUNKED, b"") + end + body

    def _content_of_chunk(self, data: bytes) -> bytes:
        """Return the content of what uvicorn writes at once: a chunk, the last chunk, or both."""
        size, _, rest = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        is_last = size == b"0" or len(rest) > length + len(b"\r\n")
        if is_last:
            self._drops_chunks = False
            self._reset_at_end(is_on=False)
        return rest[:length]

    def _reset_at_end(self, *, is_on: bool) -> None:
        connection: socket.socket = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", is_on, 0))

    def is_closing(self) -> bool:
        return self.is_lingering or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        if not self.lingers:
            self._transport.close()
            return
        self.is_lingering = True
        self._transport.write_eof()
        self._transport.resume_reading()


class Flow(FlowControl):
    """Reads and writes no more than the service and the client can take."""

    may_read = True
    """False while bytes wait to be parsed. The application wants more, but must wait for these."""

    def resume_reading(self) -> None:
        if self.may_read:
            super().resume_reading()

    async def drain(self) -> None:
        try:
            await super().drain()
        except asyncio.CancelledError:
            # The time of the request is over. Another answer would wait for the client too.
            self._transport.abort()
            raise


class BrokenBody(asyncio.Event):
    """The arrival of a body that can never be read. Waiting for it raises the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self._refusal = refusal

    async def wait(self) -> Never:
        log_refusal(self._refusal)
        raise self._refusal
