"""The server side of HTTP: uvicorn and httptools, made strict against hostile requests."""

import asyncio
from typing import Final

import httptools
import msgspec
from litestar.exceptions import ClientException, HTTPException
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from pets.api.http.closing import AnswerTransport, BrokenBody, log_refusal
from pets.api.http.exchange import NO_REQUEST, new_id, request_id
from pets.api.http.heads import MAX_HEAD_BYTES, HeadTooLarge, check_head, check_size, split_target
from pets.api.http.problems import MEDIA_TYPE, problem

_SLICE_BYTES: Final = 16 * 1024


class ProblemProtocol(HttpToolsProtocol):
    """Parses more strictly than httptools, and refuses a bad request with a problem document.

    A refused request gets one answer, after the answers to all earlier requests of its connection.
    No byte that follows it is parsed.
    """

    _answers: AnswerTransport
    _refused = False
    _progress = False  # whether this slice completed a head, or brought bytes of a body
    _bytes_without_progress = 0
    _awaits_body = False  # whether the request of `cycle` has not yet arrived in full
    _keep_alive = False  # whether the connection may stay open after `cycle`
    _stops = False  # whether the next answer is the last one
    _previous_cycle: RequestResponseCycle

    # uvicorn narrows the type of the transport in the same way, so the override must be ignored.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._answers = AnswerTransport(transport)

    def data_received(self, data: bytes) -> None:
        if self._refused or self._answers.is_lingering:
            return
        # One read may bring more than MAX_HEAD_BYTES, so it is parsed in slices.
        for start in range(0, len(data), _SLICE_BYTES):
            try:
                self._parse(data[start : start + _SLICE_BYTES])
            except HTTPException as refusal:
                self._refuse(refusal)
                return

    def _parse(self, data: bytes) -> None:
        self._progress = False
        rest = data
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                    break
                except httptools.HttpParserUpgrade as offer:
                    (body_start,) = offer.args
                rest = rest[body_start:]
                self._ignore_offer()
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, HTTPException):  # on_headers_complete raised it.
                raise error.__context__ from None
            raise ClientException(f"This is not a valid HTTP request: {error}.") from None
        if self._progress:
            self._bytes_without_progress = 0
            return
        # No head has ended, and no byte of a body has come. So this bounds heads without an end,
        # and the sizes, extensions and trailers of chunks.
        self._bytes_without_progress += len(data)
        if self._bytes_without_progress > MAX_HEAD_BYTES:
            raise HeadTooLarge

    def _ignore_offer(self) -> None:
        """Read a head that offers an upgrade (RFC 9110, 7.8) again, without the offer.

        A new parser is needed, because the old one stops where the body begins, and drops it.
        """
        method = self.parser.get_method()
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        for name, value in self.headers:
            if name != b"upgrade":
                lines.append(b"%s: %s" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        value = value.rstrip(b" \t")  # httptools leaves white space there (RFC 9112, 5.1).
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._progress = True
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise ClientException("CONNECT is not served, because this is not a proxy.")
        if self.parser.should_upgrade():
            return  # `_ignore_offer` reads this head again.
        # A head in at most two slices is smaller than MAX_HEAD_BYTES.
        if self._bytes_without_progress:
            check_size(method, self.url, self.headers)
        version = self.parser.get_http_version()
        check_head(version, self.headers)
        host, self.url = split_target(method, self.url)
        if host is not None:  # The header must be ignored then (RFC 9112, 3.2.2).
            others = [(name, value) for name, value in self.headers if name != b"host"]
            self.headers[:] = [*others, (b"host", host)]
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1
        self._previous_cycle = self.cycle
        super().on_headers_complete()
        # The parser adds trailers to this new list, which is never read (RFC 9110, 6.5.1).
        self.headers = []
        # An answer that begins before the body has ended closes the connection.
        self._awaits_body = True
        cycle = self.cycle
        cycle.transport = self._answers
        self._answers.lingers = True
        self._keep_alive = cycle.keep_alive and not self._stops
        cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._progress = True
        self._awaits_body = False
        cycle = self.cycle
        self._answers.lingers = False
        if not cycle.response_started:
            # The parser also obeys `Connection: close` in a trailer, and parses nothing after it.
            cycle.keep_alive = self._keep_alive and self.parser.should_keep_alive()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin the next request, as uvicorn does. But set no timer, because there is a sweep."""
        self._answers.write_head()  # An answer to HEAD has no body.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    # uvicorn's returns None, but asyncio lets a protocol keep the connection open.
    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that has sent everything and closed its side receive its answers."""
        if self._is_idle() or self._awaits_body:
            return False
        self.cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        """Let the next answer be the last one. The client reads in it that the connection closes.

        If an idle connection were closed at once, a client that is just sending a request would
        lose it. The sweep closes the connection if it stays idle.
        """
        self._stops = True
        if not self._is_idle():
            self._keep_alive = False
            super().shutdown()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self, refusal: HTTPException) -> None:
        """Answer with the refusal as soon as all earlier requests are answered, and close."""
        self._refused = True
        if self._awaits_body:
            if not self.pipeline:
                # The application has this request, and answers it when it misses the body.
                body_arrived = self.cycle.message_event
                self.cycle.message_event = BrokenBody(refusal)
                body_arrived.set()
                return
            self.pipeline.popleft()
            self.cycle = self._previous_cycle
        # The request has no task, and another one's may be at work here.
        context = NO_REQUEST.copy()
        context.run(request_id.set, new_id())
        context.run(log_refusal, refusal)

        def send() -> None:
            context.run(self._send_refusal, refusal)

        if self.cycle and not self.cycle.response_complete:
            self.cycle.on_response = send
        else:
            send()

    def _send_refusal(self, refusal: HTTPException) -> None:
        if self._answers.is_closing():
            return
        document = problem(refusal.status_code, refusal.detail, "/")
        body = msgspec.json.encode(document)
        head = STATUS_LINE[document.status]
        for name, value in self.server_state.default_headers:  # Date
            head += b"%s: %s\r\n" % (name, value)
        head += b"x-content-type-options: nosniff\r\n"
        head += b"request-id: %s\r\n" % document.request_id.encode()
        head += b"content-type: %s\r\ncontent-length: %d\r\n" % (MEDIA_TYPE.encode(), len(body))
        self._answers.write_head()  # of an earlier answer
        self.transport.write(head + b"connection: close\r\n\r\n" + body)
        self._answers.lingers = True
        self._answers.close()
