"""A request and its answer, which is written at once."""

from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from pets.serving.asgi import Message
from pets.serving.closing import AnswerTransport

_ALLOWED: Final = bytes({ord("\t"), *range(ord(" "), 0x7F), *range(0x80, 0x100)})
"""The bytes of names and values of header fields (RFC 9110, 5.5)."""

_WITHOUT_BODY: Final = frozenset({204, 304})
_OF_CONNECTION: Final = frozenset({b"connection", b"transfer-encoding"})


class AnswerCycle(RequestResponseCycle):
    """A request whose answer is written at once if its body comes as a whole.

    uvicorn writes the head alone, and looks at each field of it three times. That takes a tenth of
    the time of a small request. It still writes all other answers.
    """

    transport: AnswerTransport
    _head: Message = None

    async def send(self, message: Message) -> None:
        """Send a message of ASGI. Raises `RuntimeError` for one that cannot be sent."""
        if not self.response_started and message["type"] == "http.response.start":
            # Nothing is written before the body comes. If the body fails, another head may come.
            self._head = message
            return
        head, self._head = self._head, None
        if head is not None:
            if not message.get("more_body", False) and message["type"] == "http.response.body":
                answer = self._whole(head, message.get("body", b""))
                if answer:
                    await self._send_whole(answer)
                    return
            await super().send(head)
        await super().send(message)

    def _whole(self, head: Message, body: bytes) -> bytes:
        """Return all bytes of an answer, or none if uvicorn must write it."""
        if self.scope["method"] == "HEAD":
            return b""
        status = head["status"]
        fields = [*self.default_headers, *head.get("headers", ())]
        parts = [STATUS_LINE[status]]
        length = None
        for name, value in fields:
            if name == b"content-length":
                length = int(value)
            elif name in _OF_CONNECTION:
                return b""
            parts += (name, b": ", value, b"\r\n")
        if length != len(body) and not (length is None and status in _WITHOUT_BODY and not body):
            return b""  # The body is sent in chunks, or has a wrong length.
        head_bytes = b"".join(parts)
        # A field with a line break could begin an answer of its own.
        if head_bytes.translate(None, _ALLOWED) != b"\r\n" * (1 + len(fields)):
            raise RuntimeError("A header field of the answer has a control character.")
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        return b"".join((head_bytes, end, body))

    async def _send_whole(self, answer: bytes) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(answer)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
