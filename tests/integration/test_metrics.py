"""The metrics of a service with two workers."""

import json
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from litestar.testing import TestClient
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from pets.bootstrap import create_app
from pets.settings import MEMORY, Settings
from pets.telemetry.metrics import Metrics
from pets.telemetry.prometheus_files import FOLDER, use_files_of
from tests.integration.served import Served, served, start

pytestmark = pytest.mark.thorough

PAGE = Path(__file__).parents[2] / "docs" / "operation.md"
DURATION = "http_server_request_duration_seconds"
ROW = re.compile(r"^\| `((?:pets|http)_\w+)` \|", re.MULTILINE)


class Watched:
    """A service and its metrics."""

    def __init__(self, service: Served, port: int) -> None:
        self.service = service
        self.url = f"http://127.0.0.1:{port}/metrics"

    def families(self) -> list[Metric]:
        text = httpx.get(self.url).text
        return list(text_string_to_metric_families(text))

    def value(self, name: str, **labels: str) -> float:
        """Add up the samples with this name and these labels."""
        total = 0.0
        for family in self.families():
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    def wait_for(self, value: float, name: str, **labels: str) -> None:
        """A request is counted when it is answered, perhaps a moment after its client knows."""
        wait_until(lambda: self.value(name, **labels) == value)


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not is_true():
        assert time.monotonic() < deadline


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def watched(database_url: str, workers: int = 2) -> Iterator[Watched]:
    port = free_port()
    with served(database_url, workers=workers, PETS_METRICS_PORT=str(port)) as service:
        yield Watched(service, port)


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('metrics')}/pets.db"


@pytest.fixture
def pair(database_url: str) -> Iterator[Watched]:
    with watched(database_url) as pair:
        yield pair


@pytest.fixture(scope="module")
def shared(database_url: str) -> Iterator[Watched]:
    """For tests that count nothing."""
    with watched(database_url) as shared:
        yield shared


def workers_of(service: Served) -> list[int]:
    """Return the processes that serve. The one that shows the metrics is a child, too."""
    return [pid for pid in service.workers if counts(pid)]


def shower_of(service: Served) -> int:
    """Return the process that shows the metrics."""
    (shower,) = [pid for pid in service.workers if not counts(pid)]
    return shower


def counts(pid: int) -> bool:
    """Whether a process has files of metrics of its own. All have those of their parent."""
    return bool(re.search(r"/counter_\d+\.db", Path(f"/proc/{pid}/maps").read_text()))


def test_requests_are_counted_over_all_workers(pair: Watched) -> None:
    for _ in range(30):
        pair.service.request("GET", "/pets/")
    pair.service.request("GET", "/pets/1")
    pair.service.request("HEAD", "/pets/1")
    pair.service.request("POST", "/pets/", json={"name": "boy", "age": 7, "type": "dog"})
    pair.wait_for(33, f"{DURATION}_count")
    listed = {"http_request_method": "GET", "http_route": "/pets"}
    assert pair.value(f"{DURATION}_count", **listed, http_response_status_code="200") == 30
    assert pair.value(f"{DURATION}_bucket", **listed, le="+Inf") == 30
    assert 0 < pair.value(f"{DURATION}_sum", **listed) < 30
    of_one = {"http_route": "/pets/{pet_id}", "http_response_status_code": "404"}
    assert pair.value(f"{DURATION}_count", **of_one, http_request_method="GET") == 1
    assert pair.value(f"{DURATION}_count", **of_one, http_request_method="HEAD") == 1


def test_no_label_holds_what_a_client_made_up(pair: Watched) -> None:
    for path in ("/pets/123", "/secret", "/pets/%2f", "/pets/?name=secret"):
        pair.service.request("GET", path)
    pair.service.request("PROPFIND", "/pets/")
    pair.wait_for(5, f"{DURATION}_count")
    labels = set()
    for family in pair.families():
        if family.name == DURATION:
            for sample in family.samples:
                labels.add((sample.labels["http_request_method"], sample.labels["http_route"]))
    assert {method for method, _ in labels} == {"GET", "_OTHER"}
    assert {route for _, route in labels} <= {"/pets", "/pets/{pet_id}", ""}


def test_a_call_of_the_store_is_counted_with_its_size(pair: Watched) -> None:
    pair.service.request("DELETE", "/pets/", json={"ids": [7, 8, 9]})
    removing = {"operation": "remove"}
    pair.wait_for(1, "pets_store_batch_items_count", **removing)
    assert pair.value("pets_store_batch_items_sum", **removing) == 3


def test_a_failing_store_is_counted_by_kind(tmp_path: Path) -> None:
    with watched(f"sqlite+aiosqlite:///{tmp_path}/pets.db") as pair:
        for part in tmp_path.glob("pets.db*"):
            part.write_bytes(b"no database" * 10_000)
        assert pair.service.request("GET", "/pets/").status_code == 503
        pair.wait_for(1, "pets_store_errors_total", operation="pages", kind="not_done")


def test_counters_survive_their_workers(pair: Watched) -> None:
    for _ in range(20):
        pair.service.request("GET", "/pets/")
    pair.wait_for(20, f"{DURATION}_count")
    (victim, *_) = workers_of(pair.service)
    os.kill(victim, signal.SIGKILL)
    pair.service.wait_for_line("startup complete")
    pair.wait_for(1, "pets_worker_restarts_total")
    pair.service.process.send_signal(signal.SIGHUP)
    for _ in range(2):
        pair.service.wait_for_line("Finished server process")
    for _ in range(20):
        pair.service.request("GET", "/pets/")
    pair.wait_for(40, f"{DURATION}_count")
    assert pair.value("pets_worker_restarts_total") == 1


def test_gauges_of_a_worker_end_with_it(pair: Watched) -> None:
    def has_gauges() -> bool:
        return "pets_requests_waiting" in {family.name for family in pair.families()}

    wait_until(has_gauges)
    for worker in workers_of(pair.service):
        os.kill(worker, signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
    for _ in range(2):
        pair.service.wait_for_line("startup complete")
    wait_until(has_gauges)
    assert pair.value("pets_database_connections") == 0


def test_the_process_that_shows_the_metrics_is_replaced(pair: Watched) -> None:
    os.kill(shower_of(pair.service), signal.SIGKILL)
    pair.service.wait_for_line("The process that shows the metrics ended")
    wait_until(lambda: is_shown(pair.url))


def is_shown(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def test_there_is_nothing_else_at_that_port(shared: Watched) -> None:
    for path in ("/pets/", "/", "/docs", "/schema/openapi.json", "/health/live"):
        assert httpx.get(shared.url.replace("/metrics", path)).status_code == 404


def connect(pair: Watched) -> socket.socket:
    return socket.create_connection(("127.0.0.1", httpx.URL(pair.url).port or 0), timeout=20)


def ask(pair: Watched, request: bytes) -> bytes:
    """Send bytes that an HTTP library would not send, and return the whole answer."""
    with connect(pair) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics?name[]= HTTP/1.1\r\n", 200),
        (b"GET /metrics?name[]=%ff&name[]=nothing HTTP/1.1\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=x\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nAccept: \xff;;,text/plain; version=1.0.0;q=x\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nAccept-Encoding: \xff, br\r\n", 200),
        (b"HEAD /metrics HTTP/1.1\r\n", 200),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n", 405),
        (b"GET /%ff HTTP/1.1\r\n", 404),
        (b"FROBNICATE /metrics HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n", 431),
    ],
)
def test_an_odd_request_for_the_metrics_is_answered(
    shared: Watched, request_: bytes, status: int
) -> None:
    answer = ask(shared, request_ + b"Host: pets\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_the_metrics_have_the_media_type_of_prometheus(shared: Watched) -> None:
    answer = ask(shared, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert b"\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n" in answer


def test_clients_of_the_metrics_leave_no_traceback_in_the_log(pair: Watched) -> None:
    for end in (b"", b"\r\nHost: pets\r\n\r\n"):
        with connect(pair) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1" + end)
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    assert is_shown(pair.url)
    pair.service.process.terminate()
    assert pair.service.process.stderr
    for line in pair.service.process.stderr:
        assert json.loads(line)["level"] in {"info", "debug"}


def test_slow_clients_of_the_metrics_hold_no_threads_and_no_others(shared: Watched) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(shared)) for _ in range(200)]
        for connection in slow:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert is_shown(shared.url)
        threads = list(Path(f"/proc/{shower_of(shared.service)}/task").iterdir())
        assert len(threads) < 10
        assert slow[0].recv(65536).startswith(b"HTTP/1.1 408 ")


def test_the_files_of_a_worker_are_whole_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is being made cannot be read, so a scrape would fail while a worker starts."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    use_files_of("0")
    before = set(tmp_path.iterdir())
    assert 0 not in {file.stat().st_size for file in before}
    Metrics(0)
    assert before == set(tmp_path.iterdir())


def test_the_metrics_end_with_the_service(database_url: str) -> None:
    with watched(database_url) as pair, connect(pair) as kept:
        kept.sendall(b"GET /metrics HTTP/1.1\r\nHost: pets\r\n\r\n")
        assert kept.recv(65536)
        shower = shower_of(pair.service)
        assert pair.service.stop() == 0
        assert not Path(f"/proc/{shower}").exists()


def test_a_port_that_is_taken_is_one_line_and_exit_status_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(
            *("serve", "--port", "0"), database_url="memory://", PETS_METRICS_PORT=str(port)
        ) as process:
            _, log = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "PETS_METRICS_HOST, PETS_METRICS_PORT: cannot listen on" in log.splitlines()[-1]


def test_every_metric_is_documented(pair: Watched) -> None:
    documented = set(ROW.findall(PAGE.read_text()))
    pair.service.request("GET", "/pets/")

    def shown() -> set[str]:
        return {family.name for family in pair.families()}

    # Errors are shown from the first one on.
    wait_until(lambda: documented - shown() == {"pets_store_errors"})
    assert shown() <= documented


def test_metrics_that_stop_leave_the_reason_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service goes on without them."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    metrics = Metrics(0)

    def fail() -> float:
        raise LookupError("no number")

    metrics.sample("pets_broken", "It cannot be read.", fail)
    with TestClient(create_app(Settings(database_url=MEMORY), metrics=metrics)) as client:
        assert client.get("/health/live").status_code == 200
        wait_until(lambda: "Background work failed" in caplog.text)
    assert "no number" in caplog.text
