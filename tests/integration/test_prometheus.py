"""A real Prometheus, with the files of `deploy/`."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.test_metrics import DURATION, ROW, free_port, watched

DEPLOY = Path(__file__).parents[2] / "deploy"
PAGE = Path(__file__).parents[2] / "docs" / "operation.md"
PROMETHEUS = shutil.which("prometheus")
METRIC = re.compile(r"\b((?:pets|http_server)_\w+?)(?:_bucket|_count|_sum|_total)?\b(?=[\s{\[)]|$)")

pytestmark = [
    pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed"),
    pytest.mark.thorough,
]


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_are_valid() -> None:
    promtool("check", "rules", "alerts.yml")


def test_the_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", "alerts-test.yml")


def test_the_configuration_is_valid() -> None:
    promtool("check", "config", "--syntax-only", "prometheus/prometheus.yml")


def expressions() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [*found, (DEPLOY / "alerts.yml").read_text()]


def test_dashboard_and_alerts_use_only_metrics_that_exist() -> None:
    documented = set(ROW.findall(PAGE.read_text()))
    used = set()
    for expression in expressions():
        used |= set(METRIC.findall(expression))
    assert len(used) > 5
    assert used <= documented


def test_the_dashboard_shows_every_metric() -> None:
    documented = set(ROW.findall(PAGE.read_text()))
    shown = {name for expression in expressions()[:-1] for name in METRIC.findall(expression)}
    assert shown == documented


def test_prometheus_reads_what_the_service_counts(tmp_path: Path) -> None:
    assert PROMETHEUS
    port = free_port()
    with watched(f"sqlite+aiosqlite:///{tmp_path}/pets.db") as pair:
        configuration = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        configuration = configuration.replace("15s", "1s")
        configuration = configuration.replace("api:9464", pair.url.split("/")[2])
        (tmp_path / "prometheus.yml").write_text(configuration)
        shutil.copy(DEPLOY / "alerts.yml", tmp_path)
        command = [
            *(PROMETHEUS, f"--config.file={tmp_path}/prometheus.yml"),
            *(f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"),
        ]
        for _ in range(25):
            pair.service.request("GET", "/pets/")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as prometheus:
            try:
                counted = wait_for_answer(port, f"sum({DURATION}_count)", "25")
                up = wait_for_answer(port, "up", "1")
                rejected = wait_for_answer(port, "sum(pets_requests_rejected_total)", "0")
            finally:
                prometheus.terminate()
    assert (counted, up, rejected) == ("25", "1", "0")


def wait_for_answer(port: int, query: str, expected: str) -> str | None:
    """Ask Prometheus until it answers as expected, or for 20 seconds."""
    deadline = time.monotonic() + 20
    value = None
    while value != expected and time.monotonic() < deadline:
        value = answer(port, query)
    return value


def answer(port: int, query: str) -> str | None:
    url = f"http://127.0.0.1:{port}/api/v1/query"
    try:
        found: Any = httpx.get(url, params={"query": query}).json()["data"]["result"]
    except (httpx.HTTPError, ValueError):
        return None
    return found[0]["value"][1] if found else None
