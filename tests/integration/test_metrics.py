"""The metrics of a service with two workers."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from litestar.testing import TestClient
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from pets.adapters.prometheus import FOLDER, Metrics
from pets.bootstrap import create_app
from pets.settings import MEMORY, Settings
from tests.integration.served import Served, served, start

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


def workers_of(service: Served) -> list[int]:
    """Return the processes that serve. The one that shows the metrics is a child, too."""
    return [pid for pid in service.workers if has_event_loop(pid)]


def has_event_loop(pid: int) -> bool:
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    return any("eventpoll" in str(descriptor.readlink()) for descriptor in descriptors)


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
    (shower,) = set(pair.service.workers) - set(workers_of(pair.service))
    os.kill(shower, signal.SIGKILL)
    pair.service.wait_for_line("The process that shows the metrics ended")
    wait_until(lambda: is_shown(pair.url))


def is_shown(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def test_there_is_nothing_else_at_that_port(pair: Watched) -> None:
    assert httpx.get(pair.url.replace("/metrics", "/pets/")).status_code == 404


def test_the_metrics_end_with_the_service(database_url: str) -> None:
    with watched(database_url) as pair:
        pair.service.stop()
        wait_until(lambda: not is_shown(pair.url))


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
