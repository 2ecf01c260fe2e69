"""Traces for OpenTelemetry, sent by the extra `pets[otel]`."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

CLOSE_SECONDS: Final = 2
"""How long a worker that stops waits for its last spans to be sent."""


class Tracing:
    """A span for each request and each call of the store.

    The `OTEL_*` variables say where spans go and which are kept. A call of the store that is made
    for several requests belongs to none of their traces.
    """

    def __init__(self) -> None:
        for variable, value in os.environ.items():
            if variable.startswith("OTEL_"):  # The SDK would take a line break at the end, too.
                os.environ[variable] = value.strip()
        named = "OTEL_SERVICE_NAME" in os.environ
        resource = Resource.create({} if named else {"service.name": "pets"})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("pets")

    @contextmanager
    def trace_request(self, method: str, carrier: Mapping[str, str]) -> Iterator[Span]:
        """Surround a request. The carrier has its headers `traceparent` and `tracestate`."""
        with self._tracer.start_as_current_span(
            method, extract(carrier), SpanKind.SERVER, {"http.request.method": method}
        ) as span:
            yield span
            answer = span.attributes or {} if isinstance(span, ReadableSpan) else {}
            status = answer.get("http.response.status_code")
            if isinstance(status, int) and status >= 500:
                span.set_attribute("error.type", str(status))
                span.set_status(StatusCode.ERROR)

    @contextmanager
    def trace_call(self, operation: str, items: int) -> Iterator[None]:
        """Surround a call of the store. An error is told by its kind alone."""
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
        """Send the spans that were not sent yet. It takes no longer than CLOSE_SECONDS."""
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
