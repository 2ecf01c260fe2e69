"""The deployment that `docker-compose up -d` starts from a clean clone."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.docker import (
    answers,
    environment_of_a_clean_clone,
    needs_docker,
    without_file,
)

ROOT = Path(__file__).parents[2]
API = "http://127.0.0.1:3000"
COMPOSES = {"docker-compose": ["docker-compose"], "docker compose": ["docker", "compose"]}
STARTUP_SECONDS = 60

Run = Callable[..., str]


pytestmark = [needs_docker, pytest.mark.thorough]


def wait_for_api(path: str = "/health/ready") -> None:
    """Ask until the API answers well, because compose 1 cannot wait for that."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        try:
            if httpx.get(f"{API}{path}", verify=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "the API did not become ready"
        time.sleep(0.2)


def call(method: str, body: object = None) -> Any:  # Any: JSON
    response = httpx.request(method, f"{API}/pets/", json=body, verify=False)
    assert response.is_success, response.text
    return response.json()


@pytest.fixture(scope="module", params=COMPOSES)
def compose(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """Run commands of compose in a project for these tests alone, which has been started."""
    command = COMPOSES[request.param]
    if not answers(*command, "version"):
        pytest.skip(f"{request.param} is not installed")
    options = without_file(tmp_path_factory.mktemp("settings"))
    environment = environment_of_a_clean_clone()
    environment["COMPOSE_DOCKER_CLI_BUILD"] = "0"  # Compose 1 then uses the classic builder.
    environment["COMPOSE_PROJECT_NAME"] = f"pets-test-{secrets.token_hex(4)}"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *options, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        run("up", "-d", "--build")
        wait_for_api()
        yield run
    finally:
        run("down", "-v", "--rmi", "local")


@pytest.mark.usefixtures("compose")
def test_answers_the_examples_of_the_task() -> None:
    """The ids are those of the task, so this test is the first one on a new database."""
    boy = call("POST", {"name": "boy", "age": 7, "type": "dog"})
    girl = call("POST", {"name": "girl", "age": 3, "type": "cat"})
    assert boy == {"id": 1, "name": "boy", "age": 7, "type": "dog", "created_at": boy["created_at"]}
    assert call("GET") == {"count": 2, "items": [boy, girl]}

    call("POST", {"name": "other", "age": 1, "type": "cat"})
    assert call("DELETE", {"ids": [1]}) == {"deleted": 1, "errors": []}
    assert call("DELETE", {"ids": [1, 2, 3]}) == {
        "deleted": 2,
        "errors": [{"id": 1, "error": "Pet with the matching ID was not found."}],
    }


def test_keeps_pets_when_the_database_restarts(compose: Run) -> None:
    call("POST", {"name": "boy", "age": 7, "type": "dog"})
    before = call("GET")
    compose("restart", "db")
    # That a worker is ready may have been found a second ago, before the restart.
    wait_for_api("/pets/")
    assert call("GET") == before
    # The database takes writes again.
    call("POST", {"name": "girl", "age": 3, "type": "cat"})
    assert call("GET")["count"] == before["count"] + 1


def test_gives_the_service_no_more_rights_than_it_needs(compose: Run) -> None:
    (container,) = json.loads(_docker("inspect", compose("ps", "-q", "api").strip()))
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["PortBindings"] == {"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "3000"}]}
    assert compose("exec", "-T", "api", "id", "-u").strip() == "10001"
    assert compose("exec", "-T", "api", "sh", "-c", "which gcc cc || echo none").strip() == "none"


def test_checks_its_own_health(compose: Run) -> None:
    (container,) = json.loads(_docker("inspect", compose("ps", "-q", "api").strip()))
    compose("exec", "-T", "api", *container["Config"]["Healthcheck"]["Test"][1:])


def test_stops_at_once_with_status_0(compose: Run) -> None:
    name = compose("ps", "-q", "api").strip()
    compose("stop", "api")
    (container,) = json.loads(_docker("inspect", name))
    assert container["State"]["ExitCode"] == 0


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout
