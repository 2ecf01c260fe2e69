"""The server alone, with an application that knows nothing of pets."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.serving.connections import split_answers
from tests.integration.serving.test_closing import receive_all

PROGRAM = """
import re, sys
from pets.serving.accepting import AcceptingLoop
from pets.serving.admission import Admission
from pets.serving.configuration import configuration
from pets.serving.listening import address_of, listen
from pets.serving.queues import Capacity, Priorities
from pets.serving.supervisor import Supervisor
from pets.serving.worker import Worker

def text(status, body):
    async def answer(scope, receive, send):
        length = str(len(body)).encode()
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    return answer

async def application(scope, receive, send):
    modules = [name for name in sys.modules if name.startswith(("pets.", "litestar"))]
    await text(200, " ".join(modules).encode())(scope, receive, send)

def answer_refusal(refusal):
    return text(refusal.status, refusal.detail.encode())

def admission():
    priorities = Priorities("/health/", re.compile(b"all"))
    return Admission(
        application, Capacity(), priorities, answer_refusal=answer_refusal, request_seconds=10
    )

def work(end_of_work, sign, slot):
    config = configuration(admission, lifespan="off")
    Worker(config, end_of_work, sign).serve_with(AcceptingLoop, listener)

listener = listen("127.0.0.1", 0, 100)
supervisor = Supervisor(work, 1, listener)
print(address_of(listener), flush=True)
supervisor.run()
"""


@pytest.fixture
def address() -> Iterator[str]:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            assert process.wait(10) == 0


def test_any_application_can_be_served(address: str) -> None:
    answer = httpx.get(address, verify=False)
    assert answer.status_code == 200
    loaded = answer.text.split()
    assert "pets.serving.admission" in loaded
    assert [name for name in loaded if not f"{name}.".startswith("pets.serving.")] == []


def test_a_request_is_refused_by_the_function_that_it_was_given(address: str) -> None:
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        (answer,) = split_answers(receive_all(connection))
    assert answer.status == 400
    assert answer.body == b"The header Host must be sent exactly once."
    assert answer.headers["connection"] == "close"
