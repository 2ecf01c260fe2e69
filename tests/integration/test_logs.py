"""The log of a service, as another program reads it."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.served import COMMAND, Served, served, start

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACE_PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def log_after_stop(service: Served) -> list[dict[str, Any]]:
    """Stop the service and return the lines that were not read yet."""
    service.process.send_signal(signal.SIGTERM)
    _, rest = service.process.communicate(timeout=30)
    return [json.loads(line) for line in rest.splitlines()]


def answers(service: Served) -> bool:
    try:
        return service.request("GET", "/health/live").is_success
    except httpx.ConnectError:
        return False


def accesses(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["logger"] == "pets.telemetry.access_log"]


@pytest.mark.thorough
def test_each_line_is_json_with_its_time_level_and_origin() -> None:
    with served("memory://") as service:
        lines = log_after_stop(service)
    assert lines
    for line in lines:
        assert {"timestamp", "level", "logger", "event"} <= line.keys()
        assert line["timestamp"].endswith("Z")


@pytest.mark.thorough
def test_a_terminal_gets_lines_for_people() -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"PETS_DATABASE_URL": "memory://"}
    command = [*COMMAND, "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=theirs, env=environment) as process:
        os.close(theirs)
        with os.fdopen(ours, errors="replace") as terminal:
            line = next(line for line in terminal if "Listening on" in line)
        process.terminate()
    assert not line.startswith("{")
    assert "info" in line


def test_a_traceback_on_a_terminal_shows_no_values() -> None:
    program = """
import logging
from pets.telemetry.log import set_up_log
set_up_log("info")
password = "hunter" + "2"
try:
    password.missing
except AttributeError:
    logging.getLogger("pets").exception("failed")
"""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", program], stderr=theirs) as process:
        os.close(theirs)
        printed = ""
        with os.fdopen(ours, errors="replace") as terminal, suppress(OSError):  # at its end
            for line in terminal:
                printed += line
    assert process.returncode == 0
    assert "AttributeError" in printed
    assert "hunter2" not in printed


@pytest.mark.thorough
def test_requests_are_not_logged_by_default() -> None:
    with served("memory://") as service:
        service.request("GET", "/pets/")
        assert accesses(log_after_stop(service)) == []


@pytest.mark.thorough
def test_the_access_log_has_a_line_for_each_request() -> None:
    with served("memory://", PETS_ACCESS_LOG="true") as service:
        answers = [
            service.request("GET", "/pets/?name=secret"),
            service.request("HEAD", "/pets/0"),
            service.request("GET", "/nothing"),
        ]
        lines = accesses(log_after_stop(service))
    told = [(line["method"], line["path"], line.get("route"), line["status"]) for line in lines]
    assert told == [
        ("GET", "/pets/", "/pets", 200),
        ("HEAD", "/pets/0", "/pets/{pet_id}", 404),
        ("GET", "/nothing", None, 404),
    ]
    assert [line["request_id"] for line in lines] == [
        answer.headers["request-id"] for answer in answers
    ]
    assert "secret" not in str(lines)
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert all(0 < line["milliseconds"] < 10_000 for line in lines)


@pytest.mark.thorough
def test_a_long_path_is_cut_off() -> None:
    with served("memory://", PETS_ACCESS_LOG="true") as service:
        service.request("GET", f"/pets/{'%7F' * 10_000}?name=x")
        (line,) = accesses(log_after_stop(service))
    assert line["path"].startswith("/pets/%7F%7F")
    assert len(line["path"]) <= 3000


@pytest.mark.thorough
def test_a_client_that_leaves_within_its_body_is_no_error() -> None:
    with served("memory://", PETS_ACCESS_LOG="true") as service:
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(b"POST /pets/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        line = json.loads(service.wait_for_line("POST /pets/"))
    assert (line["level"], line["status"]) == ("info", 400)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("parent", "trace"),
    [
        (TRACE_PARENT, TRACE),
        (TRACE_PARENT.replace("00-", "cc-", 1) + "-more", TRACE),
        ("ff" + TRACE_PARENT[2:], None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (TRACE_PARENT.upper(), None),
        ("x", None),
    ],
)
def test_a_line_names_the_trace_of_its_request(parent: str, trace: str | None) -> None:
    with served("memory://", PETS_ACCESS_LOG="true") as service:
        service.request("GET", "/pets/", headers={"traceparent": parent})
        (line,) = accesses(log_after_stop(service))
    assert line.get("trace_id") == trace


@pytest.mark.thorough
def test_the_level_says_which_lines_are_logged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with start(
        *("serve", "--port", str(port)), database_url="memory://", PETS_LOG_LEVEL="error"
    ) as process:
        service = Served(process, port)
        while not answers(service):
            assert process.poll() is None
        assert log_after_stop(service) == []


@pytest.mark.thorough
def test_a_refused_request_has_the_same_id_in_its_answer_and_in_the_log() -> None:
    with served("memory://") as service:
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n")
            answer = connection.makefile("rb").read()
        lines = log_after_stop(service)
    (line,) = [line for line in lines if "Refused" in line["event"]]
    id_ = line["request_id"]
    assert f"request-id: {id_}\r\n".encode() in answer
    assert f'"request_id":"{id_}"'.encode() in answer


@pytest.mark.thorough
def test_a_failing_store_is_logged_with_the_id_of_the_request(tmp_path: Path) -> None:
    file = tmp_path / "pets.db"
    with served(f"sqlite+aiosqlite:///{file}") as service:
        file.write_bytes(b"no database" * 1000)
        service.request("GET", "/pets/", headers={"Request-Id": "mine"})
        lines = log_after_stop(service)
    (line,) = [line for line in lines if line["level"] == "error"]
    assert line["request_id"] == "mine"
