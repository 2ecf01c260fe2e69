"""The end of a connection on which the answer begins before the whole request has arrived."""

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from pets.serving.closing import LINGER_SECONDS
from tests.integration.served import Served, served

HEAD = b"%s HTTP/1.1\r\nhost: pets\r\ncontent-type: application/json\r\n%s\r\n"
MIB = 1024 * 1024
LENGTH = b"content-length: %d\r\n" % (20 * MIB)
CHUNKED = b"transfer-encoding: chunked\r\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with served("memory://") as service:
        yield service


def connect(service: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=LINGER_SECONDS + 5)


def receive_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def send_until_reset(connection: socket.socket) -> float:
    """Send single bytes until the server accepts no more, and return the seconds until then."""
    start = time.monotonic()
    while time.monotonic() - start < LINGER_SECONDS + 5:
        try:
            connection.sendall(b"x")
        except ConnectionError:
            break
        time.sleep(0.05)  # The test is about a slow client.
    return time.monotonic() - start


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED])
def test_an_early_answer_announces_that_the_connection_closes(
    service: Served, framing: bytes
) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD % (b"POST /nothing", framing))
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 404 Not Found")
    assert b"connection: close" in answer


@pytest.mark.thorough
def test_a_client_that_keeps_sending_is_cut_off_in_time(service: Served) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD % (b"POST /nothing", b"content-length: 1000000\r\n"))
        assert receive_all(connection)
        lasted = send_until_reset(connection)
    assert lasted < LINGER_SECONDS + 4


def test_bytes_after_an_early_answer_are_not_a_request(service: Served) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD % (b"POST /nothing", b"content-length: 5\r\n"))
        assert connection.recv(1) == b"H"  # The answer has begun.
        connection.sendall(b"12345GET /health/live HTTP/1.1\r\nhost: pets\r\n\r\n")
        assert receive_all(connection).count(b"TTP/1.1 ") == 1


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED])
def test_a_client_that_sends_everything_first_receives_413(service: Served, framing: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD % (b"POST /pets/", framing))
        part = b" " * MIB
        if framing == CHUNKED:
            part = b"100000\r\n" + part + b"\r\n"
        connection.sendall(part * 20)
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_httpx_receives_a_413_for_20_mb(service: Served) -> None:
    headers = {"content-type": "application/json"}
    response = service.request("POST", "/pets/", content=b" " * 20 * MIB, headers=headers)
    assert response.status_code == 413


def test_http_client_receives_a_413_for_20_mb(service: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.request("POST", "/pets/", b" " * 20 * MIB, {"content-type": "application/json"})
    assert connection.getresponse().status == 413
    connection.close()


def test_a_client_that_sends_everything_first_receives_431(service: Served) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /pets/ HTTP/1.1\r\nhost: pets\r\nx: ")
        for _ in range(20):
            connection.sendall(b"x" * MIB)
        assert receive_all(connection).startswith(b"HTTP/1.1 431 ")


def test_a_client_that_sends_more_than_its_last_request_receives_its_answer(
    service: Served,
) -> None:
    """The rest is more than the service reads at once."""
    last = b"GET /health/live HTTP/1.1\r\nhost: pets\r\nconnection: close\r\n\r\n"
    with connect(service) as connection:
        connection.sendall(last + b"x" * 2 * MIB)
        assert receive_all(connection).count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        (b"POST /nothing", b"content-length: 10\r\n", 404),
        (b"PUT /pets/", b"content-length: 10\r\n", 405),
        (b"POST /pets/", b"content-length: 2000000\r\n", 413),
        (b"GET /health/live", b"content-length: 10\r\n", 200),
    ],
)
def test_an_answer_instead_of_100_closes_the_connection(
    service: Served, line: bytes, fields: bytes, status: int
) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD % (line, fields + b"expect: 100-continue\r\n"))
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in answer
