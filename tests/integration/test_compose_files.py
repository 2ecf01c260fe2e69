"""What else the compose files start, on other ports: several replicas, and Prometheus."""

import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx
import pytest

from tests.integration.docker import answers, needs_docker
from tests.integration.test_metrics import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operation.md"
COMMAND = next(
    (each for each in (["docker", "compose"], ["docker-compose"]) if answers(*each, "version")), []
)
RESTART = re.compile(r"^```sh\n(for replica in .*?)^```$", re.MULTILINE | re.DOTALL)
START_SECONDS = 90
BOY = {"name": "boy", "age": 7, "type": "dog"}

pytestmark = [
    needs_docker,
    pytest.mark.skipif(not COMMAND, reason="no compose is installed"),
    pytest.mark.thorough,
]


class Project:
    """A compose file in a project of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        text = (ROOT / name).read_text()
        self.ports = {port: free_port() for port in re.findall(r'"127\.0\.0\.1:(\d+):\d+"', text)}
        for port, free in self.ports.items():
            text = text.replace(f'"127.0.0.1:{port}:', f'"127.0.0.1:{free}:')
        self.file = folder / name
        self.file.write_text(text)
        hidden = {"POSTGRES_PASSWORD", "PETS_METRICS_PORT"}
        self.environment = {name: value for name, value in os.environ.items() if name not in hidden}
        self.environment["COMPOSE_PROJECT_NAME"] = f"pets-test-{secrets.token_hex(4)}"
        self.command = [*COMMAND, "--project-directory", str(ROOT), "--file", str(self.file)]

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            [*self.command, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"


@contextmanager
def project(name: str, folder: Path) -> Iterator[Project]:
    project = Project(name, folder)
    try:
        yield project
    finally:
        project.run("--profile", "observe", "down", "--volumes", "--rmi", "local")


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def is_answered(url: str) -> bool:
    try:
        return httpx.get(url, verify=False).is_success
    except httpx.TransportError:
        return False


def rolling_restart(project: Project) -> str:
    """Return the lines of the page, for this project."""
    (lines,) = RESTART.findall(PAGE.read_text())
    assert "docker-compose -f docker-compose.scale.yaml" in lines
    return str(lines).replace(
        "docker-compose -f docker-compose.scale.yaml", " ".join(project.command)
    )


def test_a_rolling_restart_of_the_replicas_fails_no_request(tmp_path: Path) -> None:
    with project("docker-compose.scale.yaml", tmp_path) as scale:
        scale.run("up", "-d", "--build")
        url = scale.url("3000")
        wait_until(lambda: is_answered(f"{url}/health/ready"))
        done = Event()

        def ask() -> list[int]:
            statuses = []
            with httpx.Client(base_url=url, verify=False, timeout=15) as client:
                while not done.is_set():
                    statuses.append(client.post("/pets/", json=BOY).status_code)
                    statuses.append(client.get("/pets/").status_code)
            return statuses

        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(ask) for _ in range(4)]
            try:
                restart = ["bash", "-euc", rolling_restart(scale)]
                subprocess.run(restart, env=scale.environment, check=True, capture_output=True)
            finally:
                done.set()
        statuses = [status for client in clients for status in client.result()]
        assert len(statuses) > 100
        assert set(statuses) == {200, 201}
        page = httpx.get(f"{url}/pets/?limit=1", verify=False).json()
        assert page["count"] == statuses.count(201)


def test_prometheus_finds_the_service(tmp_path: Path) -> None:
    with project("docker-compose.yaml", tmp_path) as observed:
        observed.environment["PETS_METRICS_PORT"] = "9464"
        # Grafana's image is not needed for this.
        observed.run("--profile", "observe", "up", "-d", "--build", "db", "api", "prometheus")
        query = f"{observed.url('9090')}/api/v1/query?query=up"

        def is_up() -> bool:
            if not is_answered(query):
                return False
            found = httpx.get(query, verify=False).json()["data"]["result"]
            return [each["value"][1] for each in found] == ["1"]

        wait_until(is_up)
        rules = httpx.get(f"{observed.url('9090')}/api/v1/rules", verify=False).json()
        (group,) = rules["data"]["groups"]
        assert "PetsDown" in {rule["name"] for rule in group["rules"]}
