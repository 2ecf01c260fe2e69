"""A span for each request (https://opentelemetry.io/docs/specs/semconv/http/http-spans/)."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from pets.api.http.exchange import TRACE
from pets.api.http.problems import instance_of
from pets.api.http.request import headers

_PROPAGATED: Final = ("traceparent", "tracestate")


class SpanContext(Protocol):
    @property
    def trace_id(self) -> int: ...


class Span(Protocol):
    """What a request tells its span."""

    def get_span_context(self) -> SpanContext: ...
    def update_name(self, name: str) -> None: ...
    def set_attribute(self, key: str, value: str | int) -> None: ...


TraceRequest = Callable[[str, Mapping[str, str]], AbstractContextManager[Span]]
"""Gets the method of a request, and the headers that name its trace. It surrounds the request."""


class Traced:
    """An ASGI application whose requests have spans. They hold no query, no header and no body."""

    # Any, here and below: Litestar and uvicorn type ASGI applications differently.
    def __init__(self, app: Any, trace: TraceRequest) -> None:
        self._app = app
        self._trace = trace

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # Any: see above.
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        carrier = {}
        for name in _PROPAGATED:
            sent = headers(scope, name.encode())
            if len(sent) == 1:
                carrier[name] = sent[0].decode("latin-1")

        async def answer(message: Any) -> None:  # Any: see above.
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
            await send(message)

        with self._trace(method, carrier) as span:
            scope[TRACE] = f"{span.get_span_context().trace_id:032x}"
            span.set_attribute("url.path", instance_of(scope["raw_path"]))
            try:
                await self._app(scope, receive, answer)
            finally:
                if route := scope.get("path_template"):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
