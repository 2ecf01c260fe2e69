"""HTTP as uvicorn and httptools speak it, with what they lack for requests that are hostile or merely unusual."""

import re
from typing import Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pets.api.problems import MEDIA_TYPE, problem

MAX_HEAD_BYTES: Final = 64 * 1024

_UPGRADE: Final = re.compile(rb"^upgrade(?=[ \t]*:)", re.IGNORECASE | re.MULTILINE)


class ProblemProtocol(HttpToolsProtocol):
    """Answers what is not even HTTP with a problem document, as everything else is answered.

    Bounds the head of a request, which httptools does not. Ignores offers to upgrade (RFC 9110, 7.8), upon which
    httptools would drop the body; Java's clients offer HTTP/2 with every request.
    """

    _in_head = True
    _parts = 0  # heads and messages that are complete
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self._in_head and b"pgrade" in data:
            head, end, body = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"ignored", head) + end + body
        parts = self._parts
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._in_head and self._parts == parts else 0
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "Request Header Fields Too Large", f"The head is over {MAX_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._parts += 1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._parts += 1
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self.cycle and not self.cycle.more_body and not self.cycle.response_complete:
            self.cycle.keep_alive = False  # what precedes the nonsense is a request that is still to be answered
        else:
            self._refuse(400, "Bad Request", msg)

    def _refuse(self, status: int, phrase: str, detail: str) -> None:
        body = msgspec.json.encode(problem(status, detail, "/"))
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()
