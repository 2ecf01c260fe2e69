"""When the bytes of a connection are read and parsed, so that they never wait in great numbers."""

import asyncio
from typing import Any, Final, Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pets.serving.asgi import AnswerRefusal
from pets.serving.closing import AnswerTransport, Flow
from pets.serving.cycle import AnswerCycle

MAX_PART_BYTES: Final = 2 * 1024
"""How many bytes are parsed at once."""

MAX_WAITING_BYTES: Final = 4 * 1024
"""If more bytes than these wait to be parsed, the connection is not read.

It is not 0, because to stop and to begin reading again takes two system calls.
"""

END: Final = b"\r\n\r\n"
"""The end of a head, and of a body in chunks."""


class ServedApplication(Protocol):
    """The application, as its connections know it."""

    answer_refusal: AnswerRefusal

    def admit(self, connection: Any, cycle: AnswerCycle, /) -> None:  # Any: it admits its own.
        """Let the request of a connection begin, now or later."""

    def parse(self, connection: "ReadingProtocol", /) -> None:
        """Call `parse_part` until it returns False, now or in later turns of the event loop."""

    def parse_later(self, connection: "ReadingProtocol", /) -> None:
        """Do this in later turns alone."""


class ReadingProtocol(HttpToolsProtocol):
    """A connection whose bytes are parsed in parts, when it is their turn.

    A request is parsed when all earlier ones are answered and the client has taken most of the
    answers. Until then its bytes wait, and if they are many, the connection is not read. So no
    more waits for a connection than a request, one read, and one answer that is not taken.
    """

    app: ServedApplication
    flow: Flow
    waits_to_parse = False  # in a queue of the application
    _answers: AnswerTransport
    _read = b""  # What is not yet parsed begins at `_position`.
    _position = 0
    _unended: bytearray  # what was parsed of an unfinished head, or the last bytes of a body
    _has_ended = False  # whether the client has closed its side

    # The parser says how far it has come.
    _progress = False  # whether the last part ended a head, or brought bytes of a body
    _body_left = 0  # bytes of a body whose length is known
    _awaits_body = False  # whether the request of `cycle` has not yet arrived in full
    _refused = False

    # uvicorn narrows the type of the transport in the same way, so the override must be ignored.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport)
        self._answers = AnswerTransport(transport)
        self._unended = bytearray()

    def connection_lost(self, exc: Exception | None) -> None:
        self._read = b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self._answers.is_lingering:
            return
        if self._read:
            data = self._read[self._position :] + data
        self._read = data
        self._position = 0
        self.app.parse(self)
        if self._read and len(self._read) - self._position > MAX_WAITING_BYTES:
            self.flow.may_read = False
            self.flow.pause_reading()
            # To close a connection with unread bytes would reset it.
            self._answers.lingers = True

    def parse_part(self) -> bool:
        """Parse a part of what was read, and return whether there is more to parse now."""
        read = self._read
        if not read or not (self._awaits_body or self._may_begin()):
            return False
        start, end = self._position, self._end_of_part()
        part = read[start:end]
        self._position = end
        if self._body_left:
            self._body_left -= end - start
        self._parse(part)
        if self._awaits_body and not self._body_left:
            self._unended = (self._unended + part)[1 - len(END) :]
        elif not self._progress:
            self._unended += part
        elif self._unended:
            self._unended.clear()
        if end < len(read):
            return True
        self._read = b""
        if self._has_ended or not self.flow.may_read:
            self._go_on_without_bytes()
        return False

    def continues_with(self, line: bytes) -> bool:
        """Whether what is not yet parsed begins like this."""
        return self._read.startswith(line, self._position)

    def _may_begin(self) -> bool:
        """Whether the next request may begin."""
        cycle = self.cycle
        return (cycle is None or cycle.response_complete) and not self.flow.write_paused

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _end_of_part(self) -> int:
        """Return where the next part ends: where a head or a body ends, or earlier.

        The parser cannot be stopped before the end of a part. So a part never holds the end of
        one request and bytes of another.
        """
        start = self._position
        limit = min(start + MAX_PART_BYTES, len(self._read))
        if self._body_left:
            return min(limit, start + self._body_left)
        if self._unended:  # It may end with the beginning of END.
            before = self._unended[1 - len(END) :]
            found = (before + self._read[start : start + len(END) - 1]).find(END)
            if found >= 0:
                return start + found + len(END) - len(before)
        found = self._read.find(END, start, limit)
        if found < 0:
            return limit
        end = found + len(END)
        if self._awaits_body or end == limit or limit < len(self._read):
            return end
        return limit if self._has_length(start, end, limit - end) else end

    def _has_length(self, start: int, end: int, length: int) -> bool:
        """Whether this head says that its body is so long. To parse both at once takes less time.

        Common ways to write the field are enough. If there are two, the parser refuses the head.
        """
        found = self._read.find(b"ength: %d\r\n" % length, start, end)
        before = self._read[max(found - 11, 0) : max(found, 0)]
        return before.lower() == b"\r\ncontent-l"

    def _parse(self, part: bytes) -> None:
        raise NotImplementedError

    def on_response_complete(self) -> None:
        """Parse the next request. Set no timer, as uvicorn would, because there is a sweep."""
        self.server_state.total_requests += 1
        if self._answers.is_closing():
            self._read = b""
            return
        self.flow.resume_reading()
        if self._read:
            self.app.parse_later(self)  # not in the task of the request that was answered

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._read:
            self.app.parse_later(self)

    # uvicorn's returns None, but asyncio lets a protocol keep the connection open.
    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that has sent everything and closed its side receive its answers."""
        self._has_ended = True
        if self._read:
            return True
        if self._is_idle() or (self._awaits_body and not self._refused):
            return False
        self.cycle.keep_alive = False
        return True

    def _go_on_without_bytes(self) -> None:
        """Read more, because everything that was read is parsed, or end with the client."""
        if self._has_ended:
            if not self.eof_received():
                self.transport.close()
            return
        self.flow.may_read = True
        # The application itself goes on reading when it has taken enough of a body.
        if not self._awaits_body or len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self.flow.resume_reading()
