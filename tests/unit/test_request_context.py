"""The context of a request: its id, its trace, and the observers of its answer."""

from time import perf_counter
from typing import Any

import pytest

from pets.asgi import Message, Receive, Scope, Send
from pets.telemetry.request_context import (
    ARRIVED,
    TRACE,
    Observation,
    RequestContext,
    request_id,
    trace_id,
)

PARENT_TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{PARENT_TRACE}-b7ad6b7169203331-01".encode()

pytestmark = pytest.mark.anyio


class Client:
    """Asks an application whose requests have a context, and keeps what happened."""

    def __init__(self, error: Exception | None = None) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.ids = ("", "")
        self.seen: list[Observation] = []
        self._error = error

    async def ask(self, *headers: tuple[bytes, bytes], **more: Any) -> None:  # Any: as in a scope
        scope = {"type": "http", "headers": headers, **more}
        await RequestContext(self._answer, [self.seen.append], [(b"x-all", b"1")])(
            scope, self._receive, self._send
        )

    async def _answer(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.ids = (request_id.get(), trace_id())
        scope["path_template"] = "/pets/{pet_id}"
        if self._error:
            raise self._error
        await send({"type": "http.response.start", "status": 204, "headers": [(b"own", b"2")]})

    async def _receive(self) -> Message:
        raise AssertionError

    async def _send(self, message: Message) -> None:
        self.headers = message["headers"]


async def test_an_answer_has_its_own_headers_those_of_all_answers_and_the_id() -> None:
    client = Client()
    await client.ask((b"request-id", b"mine"))
    assert client.headers == [(b"own", b"2"), (b"x-all", b"1"), (b"request-id", b"mine")]
    assert client.ids == ("mine", "")


@pytest.mark.parametrize("sent", [[b""], [b"a b"], [b"x" * 129], [b"1", b"2"], []])
async def test_a_request_without_one_well_formed_id_gets_a_new_one(sent: list[bytes]) -> None:
    client = Client()
    await client.ask(*((b"request-id", value) for value in sent))
    id_, _ = client.ids
    assert len(bytes.fromhex(id_)) == 16


async def test_observers_learn_how_a_request_was_answered() -> None:
    client = Client()
    await client.ask()
    (seen,) = client.seen
    assert (seen.route, seen.status) == ("/pets/{pet_id}", 204)
    assert 0 <= seen.seconds < 1


async def test_the_time_that_a_request_waited_counts() -> None:
    client = Client()
    await client.ask(**{ARRIVED: perf_counter() - 60})
    assert 60 <= client.seen[0].seconds < 61


async def test_a_request_that_fails_is_observed_without_a_status() -> None:
    client = Client(RuntimeError())
    with pytest.raises(RuntimeError):
        await client.ask()
    assert client.seen[0].status == 0


@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        ([PARENT], PARENT_TRACE),
        ([PARENT, PARENT], ""),
        ([PARENT.replace(b"00-", b"01-", 1) + b"-more"], PARENT_TRACE),
        ([PARENT.replace(b"00-", b"ff-", 1)], ""),
        ([PARENT.upper()], ""),
        ([f"00-{'0' * 32}-b7ad6b7169203331-01".encode()], ""),
        ([], ""),
    ],
)
async def test_the_trace_is_that_of_the_client(sent: list[bytes], trace: str) -> None:
    client = Client()
    await client.ask(*((b"traceparent", value) for value in sent))
    assert client.ids[1] == trace


async def test_the_trace_of_an_own_span_comes_first() -> None:
    client = Client()
    await client.ask((b"traceparent", PARENT), **{TRACE: "1" * 32})
    assert client.ids[1] == "1" * 32
