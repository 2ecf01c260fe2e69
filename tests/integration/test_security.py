"""What `docs/security.md` promises of a whole process."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests.integration.conftest import KINDS, execute
from tests.integration.served import COMMAND, served

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")


@pytest.mark.thorough
def test_neither_logs_nor_answers_hold_a_secret(tmp_path: Path) -> None:
    """The requests succeed and fail in every way, and the store fails too."""
    keys = tmp_path / "keys"
    make = [*COMMAND, "keys", "new", "app", "--scope", "write", "--file", str(keys)]
    secret = subprocess.run(make, capture_output=True, text=True, check=True).stdout.split()[1]
    file = tmp_path / "pets.db"
    body = {"name": "Hidden Name", "age": 7, "type": "dog"}
    wrong = "a wrong key"
    once = "an idempotency key"
    answers = []
    with served(
        f"sqlite+aiosqlite:///{file}",
        PETS_API_KEYS_FILE=str(keys),
        PETS_ACCESS_LOG="true",
        PETS_LOG_LEVEL="debug",
    ) as service:

        def create(json_: object, headers: dict[str, str]) -> httpx.Response:
            return service.request("POST", "/pets/", json=json_, headers=headers)

        for key in (secret, wrong):
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f'"{once}"'}
            bodies = [body, body | {"age": 8}, body | {"age": "x"}, [body]]
            answers += [create(json_, headers) for json_ in bodies]
            answers.append(service.request("GET", "/pets/?name=Hidden Name", headers=headers))
        for part in tmp_path.glob("pets.db*"):
            part.write_bytes(b"no database" * 10_000)
        answers.append(create(body, {"X-API-Key": secret}))
        service.process.send_signal(signal.SIGTERM)
        _, log = service.process.communicate(timeout=30)
    statuses = {answer.status_code for answer in answers}
    assert {200, 201, 400, 401, 422, 503} <= statuses
    problems = [f"{answer.headers}{answer.text}" for answer in answers if answer.is_error]
    for text in (log, *problems):
        for hidden in (secret, wrong, once, "Hidden"):
            assert hidden not in text


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_a_bug_is_logged_without_the_pets(kind: str, new_database: Callable[[str], str]) -> None:
    """Somebody has changed the table, so that it refuses a pet."""
    url = new_database(kind)
    with served(url) as service:
        if kind == "postgresql":
            execute(url, "ALTER TABLE pets ADD CONSTRAINT no_cats CHECK (type <> 'cat')")
        else:
            with closing(sqlite3.connect(make_url(url).database or "")) as connection:
                connection.execute(
                    "CREATE TRIGGER no_cats BEFORE INSERT ON pets"
                    " BEGIN SELECT RAISE(ABORT, 'no_cats'); END"
                )
        cat = {"name": "Hidden", "age": 7, "type": "cat"}
        for headers in ({}, {"Idempotency-Key": "Hidden"}):
            assert service.request("POST", "/pets/", json=cat, headers=headers).status_code == 500
        service.process.send_signal(signal.SIGTERM)
        _, log = service.process.communicate(timeout=30)
    assert log.count("no_cats") >= 2
    assert "Hidden" not in log


@pytest.mark.thorough
def test_the_password_of_the_database_is_never_logged() -> None:
    """Nothing listens there, so the service says what it waits for, and gives up."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PETS_DATABASE_URL": f"postgresql://pets:hunter2@127.0.0.1:{port}/pets",
        "PETS_STARTUP_TIMEOUT": "1",
        "PETS_LOG_LEVEL": "debug",
    }
    done = subprocess.run(
        [*COMMAND, "serve"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "PETS_DATABASE_URL" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.thorough
def test_a_client_cannot_write_lines_into_the_log() -> None:
    with served("memory://", PETS_ACCESS_LOG="true") as service:
        service.request("GET", "/pets%0A%7B%22event%22%3A%22forged%22%7D")
        service.process.send_signal(signal.SIGTERM)
        _, log = service.process.communicate(timeout=30)
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "GET /pets%0A%7B%22event%22%3A%22forged%22%7D: 404" in events
    assert "forged" not in events


@pytest.mark.thorough
@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
def test_the_lines_for_haproxy_limit_the_rate_of_a_client(tmp_path: Path) -> None:
    (lines,) = re.findall(r"^```haproxy\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert HAPROXY
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with served("memory://") as service:
        ours = lines.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        ours = ours.replace("127.0.0.1:3000", f"127.0.0.1:{service.port}")
        config = tmp_path / "haproxy.cfg"
        config.write_text(ours)
        with subprocess.Popen([HAPROXY, "-db", "-f", config]) as proxy:
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                    wait_until_open(port)
                    statuses = [client.get("/pets/").status_code for _ in range(100)]
                    refused = client.get("/pets/")
            finally:
                proxy.terminate()
    assert set(statuses) == {200}
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")


def wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
        else:
            return
