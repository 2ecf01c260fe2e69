"""How an answer of an application is written to a connection."""

import asyncio
import re

import pytest
from uvicorn.server import ServerState

from pets.serving.admission import Admission, ServedProtocol
from pets.serving.asgi import ASGIApp, Message, Receive, Scope, Send
from pets.serving.configuration import configuration
from pets.serving.queues import Capacity, Priorities

GET = b"GET / HTTP/1.1\r\nHost: pets\r\nConnection: close\r\n\r\n"
LENGTH_2 = (b"content-length", b"2")


def start(status: int, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [*headers]}


def body(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def sending(*messages: Message) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def exchange(app: ASGIApp, request: bytes) -> bytes:
    """Return all that the application answers on a connection of its own."""
    admission = Admission(
        app,
        Capacity(),
        Priorities("/health/", re.compile(b"all")),
        answer_refusal=lambda _: app,
        request_seconds=10,
    )
    config = configuration(lambda: admission, lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ServedProtocol(config, state, {}), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    await asyncio.gather(*state.tasks)
    return answer


def answer_to(request: bytes, *messages: Message) -> bytes:
    return asyncio.run(exchange(sending(*messages), request))


def test_an_answer_with_a_length_is_written_as_it_is() -> None:
    header = (b"x-name", b"\xc3\xa9\t!")
    assert answer_to(GET, start(201, LENGTH_2, header), body(b"ok")) == (
        b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-name: \xc3\xa9\t!\r\n"
        b"connection: close\r\n\r\nok"
    )


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_can_have_no_body_has_no_length(status: int) -> None:
    answer = answer_to(GET, start(status), body(b""))
    assert answer.endswith(b"\r\nconnection: close\r\n\r\n")
    assert b"length" not in answer
    assert b"chunked" not in answer


def test_an_answer_without_a_length_is_sent_in_chunks() -> None:
    answer = answer_to(GET, start(200), body(b"ok"))
    assert b"\r\ntransfer-encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")


def test_an_answer_in_parts_is_sent_in_parts() -> None:
    answer = answer_to(GET, start(200, LENGTH_2), body(b"o", more=True), body(b"k"))
    assert answer.endswith(b"\r\n\r\nok")


def test_an_answer_to_head_has_no_body() -> None:
    answer = answer_to(GET.replace(b"GET", b"HEAD"), start(200, LENGTH_2), body(b"ok"))
    assert answer.endswith(b"content-length: 2\r\nconnection: close\r\n\r\n")


def test_an_answer_can_close_the_connection() -> None:
    request = GET.replace(b"Connection: close\r\n", b"")
    answer = answer_to(request, start(200, LENGTH_2, (b"connection", b"close")), body(b"ok"))
    assert answer.endswith(b"connection: close\r\n\r\nok")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb"])
def test_a_control_character_in_a_header_is_never_written(value: bytes) -> None:
    answer = answer_to(GET, start(200, LENGTH_2, (b"x-name", value)), body(b"ok"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"x-name" not in answer


@pytest.mark.parametrize("content", [b"longer", b"o", b""])
def test_a_body_of_another_length_never_ends_well(content: bytes) -> None:
    # A client would take bytes of the next answer for the rest of this one.
    answer = answer_to(GET, start(200, LENGTH_2), body(content))
    assert not answer.endswith(b"\r\n\r\nok")
    assert b"longer" not in answer


def test_a_head_whose_body_never_comes_is_replaced_by_an_error() -> None:
    assert answer_to(GET, start(200, LENGTH_2)).startswith(b"HTTP/1.1 500 ")


def test_another_head_replaces_one_that_is_not_yet_written() -> None:
    answer = answer_to(GET, start(200), start(503, LENGTH_2), body(b"no"))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_for_an_old_client_is_not_taken_for_a_head() -> None:
    content = b"a\r\ntransfer-encoding: chunked\r\n\r\nb"
    length = (b"content-length", b"%d" % len(content))
    request = b"GET / HTTP/1.0\r\n\r\n"
    answer = answer_to(request, start(200, length), body(content, more=True), body(b""))
    assert answer.endswith(b"\r\n\r\n" + content)


def test_an_answer_needs_no_headers() -> None:
    message = {"type": "http.response.start", "status": 204}
    assert answer_to(GET, message, body(b"")).startswith(b"HTTP/1.1 204 ")
