"""Traces, as a collector of OpenTelemetry gets them."""

import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pets.settings import SettingsError, wants_traces
from tests.integration.served import Served, served, start

pytestmark = pytest.mark.thorough

BOY = {"name": "Hidden", "age": 7, "type": "dog"}
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector:
    """A server that keeps the spans which it gets."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.keep(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def keep(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_spans:
                self.spans += scope.spans

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def of_kind(self, kind: Span.SpanKind.ValueType) -> list[Span]:
        return [span for span in self.spans if span.kind == kind]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    with collector.running():
        yield collector


@contextmanager
def traced(collector: Collector, tmp_path: Path) -> Iterator[Served]:
    """Run a service. When the block ends, it has sent all its spans."""
    url = f"sqlite+aiosqlite:///{tmp_path}/pets.db"
    with served(url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as service:
        yield service
        service.process.send_signal(signal.SIGTERM)
        service.process.communicate(timeout=30)


def attributes(span: Span) -> dict[str, str | int]:
    values = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        assert kind
        values[attribute.key] = getattr(attribute.value, kind)
    return values


def test_a_request_and_its_call_of_the_store_have_spans(
    collector: Collector, tmp_path: Path
) -> None:
    with traced(collector, tmp_path) as service:
        service.request("POST", "/pets/", json=BOY)
    (request,) = collector.of_kind(Span.SPAN_KIND_SERVER)
    (call,) = collector.of_kind(Span.SPAN_KIND_CLIENT)
    assert request.name == "POST /pets"
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/pets",
        "http.response.status_code": 201,
        "url.path": "/pets/",
    }
    assert call.name == "store add"
    assert attributes(call) == {"db.operation.name": "add", "db.operation.batch.size": 1}
    assert call.parent_span_id == request.span_id
    assert call.trace_id == request.trace_id
    assert request.start_time_unix_nano <= call.start_time_unix_nano
    assert call.end_time_unix_nano <= request.end_time_unix_nano
    assert collector.services == {"pets"}


def test_a_request_belongs_to_the_trace_of_its_client(collector: Collector, tmp_path: Path) -> None:
    with traced(collector, tmp_path) as service:
        service.request("GET", "/pets/", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        service.request("GET", "/pets/", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    (request,) = collector.of_kind(Span.SPAN_KIND_SERVER)  # The other one is not sampled.
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)


def test_the_log_names_the_trace_of_a_request(collector: Collector, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/pets.db"
    with served(url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, PETS_ACCESS_LOG="true") as service:
        service.request("GET", "/pets/")
        service.process.send_signal(signal.SIGTERM)
        _, log = service.process.communicate(timeout=30)
    (request,) = collector.of_kind(Span.SPAN_KIND_SERVER)
    (line,) = [line for line in log.splitlines() if "access_log" in line]
    assert f'"trace_id": "{request.trace_id.hex()}"' in line


def test_every_request_has_a_span_when_calls_are_shared(
    collector: Collector, tmp_path: Path
) -> None:
    with traced(collector, tmp_path) as service, ThreadPoolExecutor(20) as pool:
        for _ in range(100):
            pool.submit(service.request, "POST", "/pets/", json=BOY)
    requests = collector.of_kind(Span.SPAN_KIND_SERVER)
    calls = collector.of_kind(Span.SPAN_KIND_CLIENT)
    assert len(requests) == 100
    assert sum(int(attributes(call)["db.operation.batch.size"]) for call in calls) == 100


def test_spans_hold_nothing_that_a_client_wrote(collector: Collector, tmp_path: Path) -> None:
    with traced(collector, tmp_path) as service:
        service.request("POST", "/pets/", json=BOY, headers={"X-API-Key": "Hidden"})
        service.request("POST", "/pets/", json=BOY | {"age": "Hidden"})
        service.request("GET", "/pets/?name=Hidden")
    assert len(collector.spans) == 5
    assert "Hidden" not in str(collector.spans)


def test_a_failed_call_is_an_error(collector: Collector, tmp_path: Path) -> None:
    with traced(collector, tmp_path) as service:
        for part in tmp_path.glob("pets.db*"):
            part.write_bytes(b"no database" * 10_000)
        service.request("GET", "/pets/")
    (call,) = collector.of_kind(Span.SPAN_KIND_CLIENT)
    assert attributes(call)["error.type"] == "StoreUnavailable"
    (request,) = collector.of_kind(Span.SPAN_KIND_SERVER)
    assert attributes(request)["http.response.status_code"] == 503
    assert attributes(request)["error.type"] == "503"
    assert request.status.code == Status.STATUS_CODE_ERROR


def test_a_collector_that_is_gone_harms_no_request(tmp_path: Path) -> None:
    gone = Collector()
    with gone.running():
        pass
    with traced(gone, tmp_path) as service:
        assert service.request("POST", "/pets/", json=BOY).status_code == 201
    assert service.process.returncode == 0


def test_a_collector_that_does_not_answer_delays_no_stop() -> None:
    """The parent of a service has 10 seconds until Docker kills it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with served("memory://", OTEL_EXPORTER_OTLP_ENDPOINT=url) as service:
            service.request("GET", "/pets/")
            began = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - began < 6


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "pets"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_variables_of_opentelemetry_ask_for_traces(
    environment: dict[str, str], *, expected: bool
) -> None:
    assert wants_traces(environment) is expected


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_another_way_to_send_traces_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=list(environment)[-1]):
        wants_traces(environment)


@pytest.mark.parametrize("command", ["serve", "openapi"])
def test_without_the_extra_a_command_says_what_is_missing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide = "import sys\nsys.modules['opentelemetry.sdk'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hide)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with start(command, database_url="memory://", OTEL_TRACES_EXPORTER="otlp") as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    (line,) = log.splitlines()
    assert "pip install '.[otel]'" in line
