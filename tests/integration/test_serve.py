"""The command `pets serve` as users run it."""

import asyncio
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from pets.adapters.sqlalchemy.models import VERSION_TABLE
from pets.api.health import CHECK_SECONDS
from pets.serving.configuration import GRACE_SECONDS
from tests.integration.conftest import execute
from tests.integration.served import Served, served

BOY = {"name": "boy", "age": 7, "type": "dog"}
BODY = json.dumps(BOY).encode()
LENGTH = b"content-length: %d" % len(BODY)
NOT_FOUND = "Pet with the matching ID was not found."
TERMINATE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{}'"


@pytest.fixture(scope="module")
def running(database_url: str) -> Iterator[Served]:
    with served(database_url) as service:
        yield service


@pytest.fixture
def service(running: Served) -> Served:
    return empty(running)


@pytest.fixture(scope="module")
def running_on_postgresql(postgresql_url: str) -> Iterator[Served]:
    with served(postgresql_url) as service:
        yield service


@pytest.fixture
def postgresql_service(running_on_postgresql: Served) -> Served:
    return empty(running_on_postgresql)


def empty(service: Served) -> Served:
    while ids := [pet["id"] for pet in pets(service)["items"]]:
        service.request("DELETE", "/pets/", json={"ids": ids})
    return service


def pets(service: Served) -> dict[str, Any]:
    page: dict[str, Any] = service.request("GET", "/pets/?limit=1000").raise_for_status().json()
    return page


def add(service: Served) -> dict[str, Any]:
    response = service.request("POST", "/pets/", json=BOY)
    assert response.status_code == 201
    pet: dict[str, Any] = response.json()
    return pet


def head(framing: bytes) -> bytes:
    """Return the head of a request that creates a pet, with the field that frames its body."""
    start = b"POST /pets/ HTTP/1.1\r\nhost: pets\r\ncontent-type: application/json\r\n"
    return start + framing + b"\r\n\r\n"


def connect(service: Served, timeout: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout)


def receive_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def send(service: Served, request: bytes) -> bytes:
    """Send bytes that an HTTP library would not send, and return the whole answer."""
    with connect(service) as connection:
        connection.sendall(request)
        return receive_all(connection)


def wait_until_read(service: Served) -> None:
    """Return when the service has read everything that was sent to it before."""
    assert service.request("GET", "/health/live").status_code == 200


def test_answers_the_three_calls_of_the_task(service: Served) -> None:
    first, second = add(service), add(service)
    assert list(first) == ["id", "name", "age", "type", "created_at"]
    assert pets(service) == {"count": 2, "items": [first, second]}
    answer = service.request("DELETE", "/pets/", json={"ids": [first["id"], 10**9]})
    assert answer.json() == {"deleted": 1, "errors": [{"id": 10**9, "error": NOT_FOUND}]}
    assert pets(service) == {"count": 1, "items": [second]}


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exits_with_0_after_a_signal(database_url: str, number: int) -> None:
    with served(database_url) as service:
        add(service)
        assert service.stop(number) == 0


@pytest.mark.thorough
def test_finishes_requests_in_flight_before_it_stops(postgresql_url: str) -> None:
    with served(postgresql_url) as service, connect(service) as connection:
        connection.sendall(head(LENGTH) + BODY[:5])
        wait_until_read(service)
        service.process.terminate()
        service.wait_for_line("Waiting for connections to close")
        connection.sendall(BODY[5:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 Created")
        assert service.process.wait(timeout=30) == 0


@pytest.mark.thorough
@pytest.mark.parametrize("end", [Served.stop, Served.kill])
def test_keeps_every_pet_that_it_acknowledged(
    database_url: str, end: Callable[[Served], object]
) -> None:
    with served(database_url) as service:
        empty(service)
        acknowledged = [add(service) for _ in range(20)]
        end(service)
    with served(database_url) as service:
        assert pets(service) == {"count": 20, "items": acknowledged}


@pytest.mark.thorough
def test_answers_408_to_a_request_that_outlasts_the_grace(
    postgresql_url: str,
) -> None:
    with (
        served(postgresql_url) as service,
        connect(service, GRACE_SECONDS + 10) as connection,
    ):
        connection.sendall(head(LENGTH))
        wait_until_read(service)
        service.process.terminate()
        answer = receive_all(connection)
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout")
        assert b"content-type: application/problem+json" in answer
        assert service.process.wait(timeout=30) == 0


@pytest.mark.thorough
def test_forgets_pets_in_memory_when_it_stops() -> None:
    for _ in range(2):
        with served("memory://") as service:
            assert add(service)["id"] == 1
            assert service.stop() == 0


@pytest.mark.thorough
def test_serves_from_several_processes(database_url: str) -> None:
    with served(database_url, workers=2) as service:
        empty(service)
        added = [add(service) for _ in range(20)]
        assert pets(service) == {"count": 20, "items": added}
        assert service.stop() == 0


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /pets/ HTTP/9.9\r\nhost: pets\r\n\r\n",
        b"FROBNICATE /pets/ HTTP/1.1\r\nhost: pets\r\n\r\n",
        b"get /pets/ HTTP/1.1\r\nhost: pets\r\n\r\n",
        b"GET /p\xff\xfets/ HTTP/1.1\r\nhost: pets\r\n\r\n",
        b"GET /pets/ HTTP/1.1\r\nho st: pets\r\n\r\n",
        b"POST /pets/ HTTP/1.1\r\nhost: pets\r\ncontent-length: -5\r\n\r\n",
        b"POST /pets/ HTTP/1.1\r\nhost: pets\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        head(b"content-length: 5\r\ntransfer-encoding: chunked") + b"0\r\n\r\n",
        b"POST /pets/ HTTP/1.1\r\nhost: pets\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_answers_bytes_that_are_not_http_with_a_problem(
    postgresql_service: Served, request_: bytes
) -> None:
    answer, _, problem = send(postgresql_service, request_).partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json" in answer
    assert json.loads(problem)["status"] == 400
    assert pets(postgresql_service)["count"] == 0


def test_accepts_many_large_bodies_on_one_connection(postgresql_service: Served) -> None:
    body = json.dumps({"ids": list(range(10**9, 10**9 + 10_000))})
    headers = {"content-type": "application/json"}
    with httpx.Client(base_url=postgresql_service.url, verify=False) as client:
        for _ in range(50):
            response = client.request("DELETE", "/pets/", content=body, headers=headers)
            assert response.status_code == 200, response.text


def test_answers_a_request_although_nonsense_follows(postgresql_service: Served) -> None:
    answer = send(postgresql_service, head(LENGTH) + BODY + b"GARBAGE\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201 Created")
    assert b"HTTP/1.1 400 Bad Request" in answer
    assert pets(postgresql_service)["count"] == 1


def test_rejects_a_chunked_body_that_grows_too_large(postgresql_service: Served) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with connect(postgresql_service) as connection:
        connection.sendall(head(b"transfer-encoding: chunked") + chunk * 17)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_restart_of_postgresql_fails_no_request(
    postgresql_service: Served, postgresql_url: str, postgresql_server: str
) -> None:
    add(postgresql_service)
    for _ in range(3):
        execute(postgresql_server, TERMINATE.format(make_url(postgresql_url).database))
        assert pets(postgresql_service)["count"] == 1


def test_answers_503_until_postgresql_can_be_reached_again(
    postgresql_service: Served, postgresql_url: str, postgresql_server: str
) -> None:
    pet = add(postgresql_service)
    database = make_url(postgresql_url).database
    execute(
        postgresql_server,
        f"ALTER DATABASE {database} ALLOW_CONNECTIONS false",
        TERMINATE.format(database),
    )
    try:
        for path in ("/pets/", "/health/ready"):
            response = postgresql_service.request("GET", path)
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert response.headers["content-type"] == "application/problem+json"
        assert postgresql_service.request("GET", "/health/live").status_code == 200
    finally:
        execute(postgresql_server, f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    assert pets(postgresql_service) == {"count": 1, "items": [pet]}
    time.sleep(CHECK_SECONDS)  # The last outcome of a check holds so long.
    assert postgresql_service.request("GET", "/health/ready").status_code == 200


@pytest.mark.anyio
async def test_is_not_ready_while_postgresql_does_not_answer(
    postgresql_service: Served, postgresql_url: str
) -> None:
    """The service waits a second for the database."""
    connection = await asyncpg.connect(postgresql_url)
    async with connection.transaction():
        await connection.execute(f"LOCK TABLE {VERSION_TABLE}")
        await asyncio.sleep(CHECK_SECONDS)  # The outcome of an earlier check holds so long.
        locked = await asyncio.to_thread(postgresql_service.request, "GET", "/health/ready")
    await connection.close()
    assert locked.status_code == 503
    assert 1 <= locked.elapsed.total_seconds() < 3


@pytest.mark.thorough
def test_stops_in_time_while_a_write_waits_for_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "pets.db"
    with served(f"sqlite+aiosqlite:///{file}") as service, connect(service) as connection:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        connection.sendall(head(LENGTH) + BODY)
        # The service has read the creation by the time at which it answers this.
        assert service.request("GET", "/health/live").status_code == 200
        assert service.stop() == 0
        other.close()
