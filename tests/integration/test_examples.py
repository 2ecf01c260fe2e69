"""Examples of the OpenAPI document that the server answers, before the application."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.served import Served, served

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with served("memory://") as service:
        yield service


@pytest.mark.parametrize(
    ("path", "method", "status", "headers"),
    [
        ("/health/live", "get", 400, ""),
        ("/health/ready", "get", 400, ""),
        ("/pets/", "delete", 431, f"Host: pets\r\nCookie: {'x' * 64 * 1024}\r\n"),
    ],
)
def test_an_example_is_what_the_server_answers(
    service: Served, path: str, method: str, status: int, headers: str
) -> None:
    document = service.request("GET", "/schema/openapi.json").json()
    described = document["paths"][path][method]["responses"][str(status)]
    example = described["content"]["application/problem+json"]["example"]
    problem = send(service, f"{method.upper()} {path} HTTP/1.1\r\n{headers}\r\n")
    assert example | {"request_id": problem["request_id"]} == problem


def send(service: Served, head: str) -> dict[str, Any]:  # Any: whatever JSON can hold.
    """Send a head to the service, and return the problem that it answers before it closes."""
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.settimeout(10)
        client.sendall(head.encode())
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    problem: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return problem
