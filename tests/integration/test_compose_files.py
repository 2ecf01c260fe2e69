"""What else the compose files start, on other ports: several replicas, and Prometheus."""

import hashlib
import json
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
import yaml

from tests.integration.docker import (
    answers,
    environment_of_a_clean_clone,
    needs_docker,
    without_file,
)
from tests.integration.test_metrics import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operation.md"
COMPOSES = [
    each for each in (["docker", "compose"], ["docker-compose"]) if answers(*each, "version")
]
COMMAND = COMPOSES[0] if COMPOSES else []
RESTART = re.compile(r"^```sh\n(for replica in .*?)^```$", re.MULTILINE | re.DOTALL)
START_SECONDS = 90
BOY = {"name": "boy", "age": 7, "type": "dog"}

pytestmark = [
    needs_docker,
    pytest.mark.skipif(not COMMAND, reason="no compose is installed"),
    pytest.mark.thorough,
]


ENV = """
# A file that `make run` reads too.
POSTGRES_PASSWORD='pa$$w#rd $HOME'
PETS_DATABASE_URL=sqlite+aiosqlite:///pets.db
PETS_HOST=127.0.0.1
PETS_PORT=3123
PETS_WORKERS=2
PETS_CORS_ORIGINS='https://a.example, https://b.example'
PETS_API_KEYS_FILE=deploy/keys/api
OTEL_SERVICE_NAME=ours
"""


class Project:
    """A compose file in a project of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        text = (ROOT / name).read_text()
        self.ports = {port: free_port() for port in re.findall(r'"127\.0\.0\.1:(\d+):\d+"', text)}
        for port, free in self.ports.items():
            text = text.replace(f'"127.0.0.1:{port}:', f'"127.0.0.1:{free}:')
        self.file = folder / name
        self.file.write_text(text)
        self.environment = environment_of_a_clean_clone()
        self.environment["COMPOSE_PROJECT_NAME"] = f"pets-test-{secrets.token_hex(4)}"
        self.ports["3000"] = free_port()
        self.environment["PETS_PORT"] = str(self.ports["3000"])
        self.command = [*COMMAND, "--project-directory", str(ROOT), "--file", str(self.file)]
        self.command += without_file(folder)

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


@pytest.mark.parametrize("command", COMPOSES, ids=" ".join)
@pytest.mark.parametrize(
    ("name", "service", "published"),
    [
        ("docker-compose.yaml", "api", "api"),
        ("docker-compose.scale.yaml", "api3", "haproxy"),
    ],
)
def test_a_file_of_settings_reaches_the_service_but_does_not_break_it(
    command: list[str], name: str, service: str, published: str, tmp_path: Path
) -> None:
    """The database, and the address within the container, are those of the compose file."""
    file = tmp_path / ".env"
    file.write_text(ENV)
    given = environment_of_a_clean_clone() | {"PETS_LOG_LEVEL": "debug", "PETS_WORKERS": "3"}
    done = subprocess.run(
        [*command, "--env-file", str(file), "--file", str(ROOT / name), "config"],
        env=given,
        stdout=subprocess.PIPE,
        check=True,
    )
    services = yaml.safe_load(done.stdout)["services"]  # type: ignore[no-untyped-call]  # PyYAML has no types.
    environment = services[service]["environment"]
    assert services["db"]["environment"]["POSTGRES_PASSWORD"].replace("$$", "$") == "pa$$w#rd $HOME"
    assert environment["PGPASSWORD"].replace("$$", "$") == "pa$$w#rd $HOME"
    assert "3123" in json.dumps(services[published]["ports"])
    values = {variable: str(value) for variable, value in environment.items() if value is not None}
    assert values.pop("PGPASSWORD")
    assert values.pop("PETS_DATABASE_URL").startswith("postgresql://pets@")
    assert values == {
        "PETS_HOST": "0.0.0.0",
        "PETS_PORT": "3000",
        "PETS_METRICS_HOST": "0.0.0.0",
        "PETS_WORKERS": "3",  # The environment wins.
        "PETS_LOG_LEVEL": "debug",
        "PETS_CORS_ORIGINS": "https://a.example, https://b.example",
        "PETS_API_KEYS_FILE": "deploy/keys/api",
        "OTEL_SERVICE_NAME": "ours",
    }


def test_keys_of_the_mounted_folder_are_required(tmp_path: Path) -> None:
    key = secrets.token_hex(16)
    digest = hashlib.sha256(key.encode()).hexdigest()
    with project("docker-compose.yaml", tmp_path) as guarded:
        folder = tmp_path / "keys"
        folder.mkdir()
        folder.joinpath("api").write_text(f"reports read {digest}\n")
        folder.chmod(0o755)
        guarded.file.write_text(guarded.file.read_text().replace("./deploy/keys:", f"{folder}:"))
        guarded.environment["PETS_API_KEYS_FILE"] = "deploy/keys/api"
        guarded.run("up", "-d", "--build", "api")
        url = guarded.url("3000")
        wait_until(lambda: is_answered(f"{url}/health/ready"))
        assert httpx.get(f"{url}/pets/", verify=False).status_code == 401
        bearer = {"Authorization": f"Bearer {key}"}
        assert httpx.get(f"{url}/pets/", headers=bearer, verify=False).status_code == 200
