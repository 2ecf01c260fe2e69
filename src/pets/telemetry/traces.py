"""Traces for OpenTelemetry. This module needs the extra `otel`.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Thread
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from pets.asgi import ASGIApp, Message, Receive, Scope, Send, header_values, path_as_sent
from pets.telemetry.request_context import TRACE

CLOSE_SECONDS: Final = 2
"""How long a worker that stops waits for its last spans to be sent."""


class Tracing:
    """A span for each request and each call of the store.

    The `OTEL_*` variables say where spans are sent and which are kept. A call of the store that is
    made for several requests belongs to none of their traces.
    """

    def __init__(self) -> None:
        for variable, value in os.environ.items():
            if variable.startswith("OTEL_"):  # The SDK does not strip line breaks.
                os.environ[variable] = value.strip()
        named = "OTEL_SERVICE_NAME" in os.environ
        resource = Resource.create({} if named else {"service.name": "pets"})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("pets")

    def add_spans(self, app: ASGIApp) -> ASGIApp:
        """Return the application with a span for each request.

        A span holds no query, no header and no body.
        """

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            method = scope["method"]
            with self._tracer.start_as_current_span(
                method, extract(_carrier(scope)), SpanKind.SERVER, {"http.request.method": method}
            ) as span:
                scope[TRACE] = f"{span.get_span_context().trace_id:032x}"
                span.set_attribute("url.path", path_as_sent(scope["raw_path"]))
                try:
                    await app(scope, receive, partial(_send, span, send))
                finally:
                    if route := scope.get("path_template"):
                        span.update_name(f"{method} {route}")
                        span.set_attribute("http.route", route)

        return traced

    @contextmanager
    def trace_call(self, operation: str, items: int) -> Iterator[None]:
        """Surround a call of the store. Of an error it has only the type."""
        with self._tracer.start_as_current_span(
            f"store {operation}",
            kind=SpanKind.CLIENT,
            attributes={"db.operation.name": operation, "db.operation.batch.size": items},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    async def close(self) -> None:
        """Send the spans that are not sent yet. This takes no longer than CLOSE_SECONDS."""
        loop = asyncio.get_running_loop()
        sent = asyncio.Event()

        def send() -> None:
            self._provider.force_flush()
            with suppress(RuntimeError):  # The loop has ended.
                loop.call_soon_threadsafe(sent.set)

        # The flush has no time limit of its own, and the loop would wait for a thread of its pool.
        Thread(target=send, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await sent.wait()


def _carrier(scope: Scope) -> dict[str, str]:
    """Return the headers that name the trace of the client."""
    carrier = {}
    for name in ("traceparent", "tracestate"):
        sent = header_values(scope, name.encode())
        if len(sent) == 1:
            carrier[name] = sent[0].decode("latin-1")
    return carrier


async def _send(span: Span, send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        status = message["status"]
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)
    await send(message)
