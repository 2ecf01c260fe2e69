"""The server side of HTTP: uvicorn and httptools, made strict against hostile requests."""

import asyncio
from urllib.parse import unquote

import httptools

from pets.serving.asgi import SAFE_METHODS, ASGIApp
from pets.serving.closing import BrokenBody
from pets.serving.cycle import AnswerCycle
from pets.serving.errors import Refusal
from pets.serving.heads import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    BadRequest,
    HeadTooLarge,
    TooManyFields,
    check_head,
    check_no_stray_body,
    check_size,
    read_refused_head,
    split_target,
)
from pets.serving.reading import END, ReadingProtocol


class StrictProtocol(ReadingProtocol):
    """Parses more strictly than httptools, and refuses a bad request.

    A request is parsed when all earlier ones of its connection are answered, so a refusal comes in
    its turn. No byte that follows it is parsed.
    """

    task: asyncio.Task[None] | None = None  # of the request that was begun last
    _bytes_without_progress = 0
    _keep_alive = False  # whether the connection may stay open after `cycle`
    _stops = False  # whether the next answer is the last one

    def _parse(self, part: bytes) -> None:
        self._progress = False
        try:
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as offer:
                (body_start,) = offer.args
                self._ignore_offer(part[body_start:])
        except httptools.HttpParserError as error:
            refusal = error.__context__
            if not isinstance(refusal, Refusal):  # No callback has raised one.
                refusal = BadRequest(f"This is not a valid HTTP request: {error}.")
            self._refuse(refusal, part)
            return
        if self._progress:
            self._bytes_without_progress = 0
            return
        # No head has ended, and no byte of a body has come. So this bounds heads without an end,
        # and the sizes, extensions and trailers of chunks.
        self._bytes_without_progress += len(part)
        if self._bytes_without_progress > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(), part)

    def _ignore_offer(self, body: bytes) -> None:
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
        self.parser.feed_data(b"\r\n".join(lines) + END + body)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) == MAX_FIELDS:
            raise TooManyFields
        name = name.lower()
        value = value.rstrip(b" \t")  # httptools leaves white space there (RFC 9112, 5.1).
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._progress = True
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise BadRequest("CONNECT is not served, because this is not a proxy.")
        if self.parser.should_upgrade():
            return  # `_ignore_offer` reads this head again.
        # A head in one part or two is smaller than MAX_HEAD_BYTES.
        if self._bytes_without_progress:
            check_size(method, self.url, self.headers)
        version = self.parser.get_http_version()
        self._body_left = check_head(version, self.headers)
        if self._position < len(self._read):
            check_no_stray_body(method, self.headers, self._read[self._position])
        host, target = split_target(method, self.url)
        if host is not None:  # The header must be ignored then (RFC 9112, 3.2.2).
            others = [(name, value) for name, value in self.headers if name != b"host"]
            self.headers[:] = [*others, (b"host", host)]
        if version == "1.0":
            self.scope["http_version"] = version
            self.expect_100_continue = False  # RFC 9110, 10.1.1
        self._add_to_scope(method, target)
        # The parser adds trailers to this new list, which is never read (RFC 9110, 6.5.1).
        self.headers = []
        self._awaits_body = True
        self._answers.takes_chunks = version != "1.0"
        self._answers.lingers = True
        self._keep_alive = version != "1.0" and self.parser.should_keep_alive() and not self._stops
        self.cycle = self._new_cycle()
        self.app.admit(self, self.cycle)

    def _add_to_scope(self, method: bytes, target: bytes) -> None:
        path, _, query = target.partition(b"?")
        scope = self.scope
        scope["method"] = method.decode()
        text = path.decode("ascii")
        scope["path"] = unquote(text) if "%" in text else text
        scope["raw_path"] = path
        scope["query_string"] = query

    def _new_cycle(self) -> AnswerCycle:
        """Return the cycle of the request in `scope`.

        An answer that begins before the body has ended closes the connection.
        """
        return AnswerCycle(
            self.scope,
            self._answers,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._progress = True
        self._awaits_body = False
        self._body_left = 0
        cycle = self.cycle
        # If the service misses a body, it may still come (see `MissingBody`).
        misses_body = not cycle.body and cycle.scope["method"] not in SAFE_METHODS
        self._answers.lingers = self.flow.read_paused or (misses_body and self._keep_alive)
        if not cycle.response_started:
            # The parser also obeys `Connection: close` in a trailer, and parses nothing after it.
            cycle.keep_alive = self._keep_alive and self.parser.should_keep_alive()
        super().on_message_complete()

    def shutdown(self) -> None:
        """Let the next answer be the last one. The client reads in it that the connection closes.

        If an idle connection were closed at once, a client that is just sending a request would
        lose it. The sweep closes the connection if it stays idle.
        """
        self._stops = True
        if not self._is_idle():
            self._keep_alive = False
            super().shutdown()

    def _refuse(self, refusal: Refusal, part: bytes = b"") -> None:
        """Answer with the refusal, and close. The part is the last one of the request."""
        self._refused = True
        self._read = b""
        refusal.with_traceback(None)  # Its frames would keep what was read.
        if self._awaits_body:
            # The application has this request, and answers it when it misses the body.
            body_arrived = self.cycle.message_event
            self.cycle.message_event = BrokenBody(refusal)
            body_arrived.set()
            return
        if self._answers.is_closing():
            return
        method, fields = read_refused_head(self._unended + part)
        self.on_message_begin()  # This gives it a scope of its own.
        self.headers += fields
        self._add_to_scope(method.encode(), b"/")
        self.cycle = self._new_cycle()
        self._answers.lingers = True
        self.start(self.cycle, self.app.answer_refusal(refusal))

    def start(self, cycle: AnswerCycle, app: ASGIApp) -> None:
        """Begin a request as uvicorn does, but remember its task."""
        task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self.task = task
