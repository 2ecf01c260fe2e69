"""The boundaries between the requests of a connection, whatever a client sends."""

import asyncio
import json
import logging
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import pytest

from pets.adapters.memory import InMemoryPetRepository
from pets.api.api_keys import ApiKeys
from pets.asgi import path_as_sent
from pets.bootstrap import create_app
from pets.domain.pet import NewPet, Pet
from pets.serving.heads import MAX_HEAD_BYTES
from pets.settings import MEMORY, Settings
from pets.telemetry.request_context import Observation
from tests.integration.served import served
from tests.integration.serving.connections import Server, statuses

pytestmark = pytest.mark.anyio

HOST = b"Host: pets\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
BOY = json.dumps({"name": "Upgrade: me", "age": 7, "type": "dog"}).encode()
LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /health/live HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
DELETE_FIRST = b"DELETE /pets/?ids=1 HTTP/1.1\r\n" + HOST + b"\r\n"


def request(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return line + b" HTTP/1.1\r\n" + HOST + b"".join(fields) + length + b"\r\n" + body


def chunked(line: bytes, *fields: bytes, body: bytes, trailers: bytes = b"") -> bytes:
    head = line + b" HTTP/1.1\r\n" + HOST + CHUNKED + b"".join(fields) + b"\r\n"
    return head + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers)


class GatedRepository(InMemoryPetRepository):
    """Adds and removes pets only while its gate is open. The gate is open at first."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        self.reached.set()
        await self.gate.wait()
        return await super().add(pets)

    async def remove(
        self,
        ids: Collection[int],
        *,
        expected: Mapping[int, Pet] | None = None,
    ) -> set[int]:
        self.reached.set()
        await self.gate.wait()
        return await super().remove(ids, expected=expected)


@pytest.fixture
async def repository() -> GatedRepository:
    return GatedRepository()


@pytest.fixture
async def server(repository: GatedRepository) -> Server:
    return Server(repository)


async def create(server: Server) -> None:
    answers = await server.exchange(request(b"POST /pets/", JSON, CLOSE, body=BOY))
    assert statuses(answers) == [201]


async def count(server: Server) -> int:
    (answer,) = await server.exchange(request(b"GET /pets/?limit=0", CLOSE))
    return int(answer.document["count"])


Form = Callable[..., bytes]

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
OFFERS = {
    "as Java sends it": OFFER,
    "in capitals": OFFER.upper(),
    "in mixed case": b"cOnnEction:upGRADE\r\nuPgrade:\t h2c\r\n",
    "of a web socket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    "before other fields": b"Upgrade: h2c\r\nX-Upgrade: upgrade\r\nConnection: upgrade\r\n",
}


class TestAnOfferToUpgrade:
    @pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
    @pytest.mark.parametrize("form", [request, chunked])
    async def test_is_ignored_wherever_a_read_splits_its_request(
        self, server: Server, offer: bytes, form: Form
    ) -> None:
        upgrading = form(b"POST /pets/", JSON, offer, body=BOY)
        sent = LIVE + upgrading + LAST
        for split in range(len(LIVE) - 1, len(sent)):
            answers = await server.exchange(sent[:split], sent[split:])
            assert statuses(answers) == [200, 201, 200]
            assert answers[1].document["name"] == "Upgrade: me"

    async def test_without_a_body_is_ignored_wherever_it_is_split(self, server: Server) -> None:
        sent = request(b"GET /pets/?limit=7", OFFER) + LAST
        for split in range(1, len(sent)):
            answers = await server.exchange(sent[:split], sent[split:])
            assert statuses(answers) == [200, 200]
            assert "limit=7" in answers[0].headers["link"]

    async def test_is_ignored_each_time_it_comes_in_one_read(self, server: Server) -> None:
        upgrading = request(b"POST /pets/", JSON, OFFER, body=BOY)
        answers = await server.exchange(upgrading * 50 + LAST)
        assert statuses(answers) == [201] * 50 + [200]

    async def test_is_ignored_when_each_byte_comes_alone(self, server: Server) -> None:
        upgrading = request(b"POST /pets/", JSON, OFFER, body=BOY)
        sent = upgrading + upgrading + LAST
        answers = await server.exchange(*(sent[i : i + 1] for i in range(len(sent))))
        assert statuses(answers) == [201, 201, 200]

    @pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
    async def test_never_turns_its_body_into_a_request(self, server: Server, offer: bytes) -> None:
        await create(server)
        attack = request(b"POST /pets/", JSON, offer, body=DELETE_FIRST)
        assert statuses(await server.exchange(attack + LAST)) == [400, 200]
        assert await count(server) == 1

    async def test_among_the_trailers_has_no_effect(self, server: Server) -> None:
        fields = [JSON, b"Connection: upgrade\r\n"]
        upgrading = chunked(b"POST /pets/", *fields, body=BOY, trailers=b"Upgrade: h2c\r\n")
        assert statuses(await server.exchange(upgrading + LAST)) == [201, 200]

    async def test_with_close_is_the_last_request(self, server: Server) -> None:
        offer = b"Connection: close, upgrade\r\nUpgrade: h2c\r\n"
        sent = request(b"POST /pets/", JSON, offer, body=BOY) + LIVE
        assert statuses(await server.exchange(sent)) == [201]


class TestAValueThatReadsUpgrade:
    async def test_in_a_query_is_kept(self, server: Server) -> None:
        sent = request(b"GET /pets/?name=upgrade:upgrade", CLOSE)
        for split in range(1, len(sent)):
            (answer,) = await server.exchange(sent[:split], sent[split:])
            assert "name=upgrade%3Aupgrade" in answer.headers["link"]

    async def test_in_a_key_is_kept(self, server: Server) -> None:
        sent = request(b"POST /pets/", JSON, CLOSE, b"Idempotency-Key: upgrade:a\r\n", body=BOY)
        for split in range(1, len(sent)):
            (answer,) = await server.exchange(sent[:split], sent[split:])
            assert answer.status == 201
        assert await count(server) == 1


@pytest.mark.parametrize("line", [b"CONNECT pets:80 HTTP/1.1", b"PRI * HTTP/2.0"])
async def test_nothing_is_parsed_after_another_protocol(server: Server, line: bytes) -> None:
    await create(server)
    attack = line + b"\r\n" + HOST + b"\r\n"
    sent = LIVE + attack + DELETE_FIRST
    for split in range(1, len(sent)):
        answers = await server.exchange(sent[:split], sent[split:])
        assert statuses(answers) == [200, 400]
    assert await count(server) == 1


Broken = tuple[bytes, int]

BROKEN = {
    "a head that is too long": (b"GET /pets/ HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES, 431),
    "a bad request line": (b"GARBAGE\r\n\r\n", 400),
    "a bad header": (b"GET / HTTP/1.1\r\nHo st: pets\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a bad chunk": (request(b"POST /pets/", JSON, CHUNKED) + b"ZZ\r\n", 400),
    "a bad chunk after a good one": (
        request(b"POST /pets/", JSON, CHUNKED) + b"2\r\n{}\r\nZZ\r\n",
        400,
    ),
    "trailers that are too long": (
        chunked(b"POST /pets/", JSON, body=BOY, trailers=b"X: " + b"x" * 2 * MAX_HEAD_BYTES),
        431,
    ),
}


@pytest.fixture(params=BROKEN.values(), ids=list(BROKEN))
def broken(request: pytest.FixtureRequest) -> Broken:
    parameter: Broken = request.param
    return parameter


@pytest.fixture
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail the test if an error is logged."""
    yield
    for record in caplog.records:
        assert record.levelno < logging.ERROR, record.getMessage()


@pytest.mark.usefixtures("no_errors")
class TestARefusal:
    async def test_waits_for_the_answer_to_an_earlier_request(
        self, server: Server, repository: GatedRepository, broken: Broken
    ) -> None:
        bad, status = broken
        repository.gate.clear()
        async with server.connection() as connection:
            connection.read(request(b"POST /pets/", JSON, body=BOY))
            await repository.reached.wait()
            connection.read(bad, LIVE)
            repository.gate.set()
            answers = await connection.answers()
        assert statuses(answers) == [201, status]
        assert answers[0].document["name"] == "Upgrade: me"

    async def test_waits_for_all_earlier_answers(self, server: Server, broken: Broken) -> None:
        bad, status = broken
        good = request(b"POST /pets/", JSON, body=BOY)
        answers = await server.exchange(good + LIVE + good + bad, LIVE)
        assert statuses(answers) == [201, 200, 201, status]
        assert await count(server) == 2

    async def test_of_the_first_request_comes_alone(self, server: Server, broken: Broken) -> None:
        bad, status = broken
        (answer,) = await server.exchange(bad, LIVE)
        assert answer.status == status
        assert answer.document["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["connection"] == "close"
        assert answer.headers["date"]
        assert await count(server) == 0

    async def test_does_not_take_the_error_of_the_answer_before(self, server: Server) -> None:
        sent = request(b"GET /nothing") + b"GARBAGE\r\n\r\n"
        assert statuses(await server.exchange(sent)) == [404, 400]

    async def test_follows_an_answer_that_the_client_has_read(
        self, server: Server, broken: Broken
    ) -> None:
        bad, status = broken
        async with server.connection() as connection:
            connection.read(LIVE)
            assert (await connection.answer()).status == 200
            connection.read(bad)
            assert statuses(await connection.answers()) == [status]

    async def test_of_a_body_is_the_only_answer_to_its_request(self, server: Server) -> None:
        async with server.connection() as connection:
            connection.read(request(b"POST /pets/", JSON, b"Expect: 100-continue\r\n", CHUNKED))
            # After this answer the application waits for the body.
            assert (await connection.interim()).status == 100
            connection.read(b"2\r\n{}\r\n", b"ZZ\r\n")
            (answer,) = await connection.answers()
        assert answer.status == 400
        assert answer.document["instance"] == "/pets/"

    async def test_does_not_replace_the_answer_of_a_running_request(
        self, server: Server, repository: GatedRepository
    ) -> None:
        await create(server)
        repository.reached.clear()
        repository.gate.clear()
        async with server.connection() as connection:
            connection.read(request(b"DELETE /pets/1", CHUNKED))
            await repository.reached.wait()
            connection.read(b"ZZ\r\n")
            repository.gate.set()
            assert statuses(await connection.answers()) == [204]

    async def test_does_not_follow_the_answer_to_its_own_request(self, server: Server) -> None:
        async with server.connection() as connection:
            connection.read(request(b"POST /nothing", JSON, CHUNKED))
            assert (await connection.answer()).status == 404
            connection.read(b"ZZ\r\n", b"GARBAGE")
            assert await connection.answers() == []

    async def test_does_not_follow_an_answer_that_closes(self, server: Server) -> None:
        assert statuses(await server.exchange(LAST + b"GARBAGE\r\n\r\n")) == [200]


ID = b"Request-Id: mine-1\r\n"
REFUSED_WITH_AN_ID = {
    "before the bad line": ID + b"Ba d: x\r\n\r\n",
    "after a good one": b"Host: pets\r\nrequest-id:\t mine-1 \r\nBa d: x\r\n\r\n",
    "without a host": ID + b"\r\n",
    "in a long head": ID + b"X: " + b"x" * MAX_HEAD_BYTES,
    "before a bad coding": HOST + ID + b"Transfer-Encoding: gzip\r\n\r\n",
}


class TestARefusalIsAnAnswerLikeOthers:
    @pytest.mark.parametrize("fields", REFUSED_WITH_AN_ID.values(), ids=REFUSED_WITH_AN_ID)
    @pytest.mark.parametrize("read_bytes", [1, 10, 10**6])
    async def test_with_the_id_of_its_client(
        self, server: Server, fields: bytes, read_bytes: int
    ) -> None:
        sent = b"GET /pets/ HTTP/1.1\r\n" + fields
        parts = [sent[i : i + read_bytes] for i in range(0, len(sent), read_bytes)]
        (answer,) = await server.exchange(*parts)
        assert answer.headers["request-id"] == "mine-1"
        assert answer.document["request_id"] == "mine-1"

    @pytest.mark.parametrize("sent", [b"a b", b"x" * 1000, b"mine\r\nRequest-Id: other", b""])
    async def test_with_an_id_of_its_own_for_another_one(self, server: Server, sent: bytes) -> None:
        head = b"GET / HTTP/1.1\r\nRequest-Id: " + sent + b"\r\nBa d: x\r\n\r\n"
        (answer,) = await server.exchange(head)
        assert answer.headers["request-id"] not in {sent.decode(), "mine", "other"}

    async def test_with_the_headers_that_all_answers_have(self) -> None:
        """A page of another origin may read it, and a shared cache may not keep it."""
        settings = Settings(database_url=MEMORY, cors_origins="https://a.example")
        server = Server(create_app(settings, keys=ApiKeys([])))
        fields = b"Origin: https://a.example\r\n"
        good = request(b"GET /health/live", fields)
        answers = await server.exchange(good + b"GET / HTTP/1.1\r\n" + fields + b"\r\n")
        assert statuses(answers) == [200, 400]
        for name in answers[0].headers.keys() - {"request-id", "content-length", "content-type"}:
            assert answers[1].headers[name] == answers[0].headers[name]
        assert answers[1].headers["cache-control"] == "private, no-cache"
        assert answers[1].headers["vary"] == "Origin"
        assert answers[1].headers["access-control-allow-origin"] == "https://a.example"

    async def test_below_the_root_path(self) -> None:
        server = Server(create_app(Settings(database_url=MEMORY, root_path="/shop")))
        (answer,) = await server.exchange(b"G\0RBAGE / HTTP/1.1\r\n\r\n")
        assert (answer.status, answer.document["instance"]) == (400, "/shop/")

    async def test_and_is_observed(self) -> None:
        seen: list[Observation] = []
        server = Server(InMemoryPetRepository(), observers=[seen.append])
        await server.exchange(b"PUT / HTTP/1.1\r\n\r\n")
        await server.exchange(b"G\0RBAGE / HTTP/1.1\r\n\r\n")
        assert [(one.scope["method"], one.status) for one in seen] == [
            ("PUT", 400),
            ("_OTHER", 400),
        ]

    @pytest.mark.parametrize(
        "head",
        [
            b"HEAD / HTTP/1.1\r\n\r\n",
            b"HEAD / HTTP/1.1\r\nBa d: x\r\n\r\n",
            b"HEAD / HTTP/9.9\r\n\r\n",
            b"HEAD /\0 HTTP/1.1\r\n\r\n",
            b"\r\nHEAD x HTTP/1.1\r\n" + HOST + b"\r\n",
            b"HEAD /" + b"x" * MAX_HEAD_BYTES,
        ],
    )
    @pytest.mark.parametrize("read_bytes", [1, 10**6])
    async def test_without_a_body_for_head(
        self, server: Server, head: bytes, read_bytes: int
    ) -> None:
        async with server.connection() as connection:
            for start in range(0, len(head), read_bytes):
                connection.read(head[start : start + read_bytes])
            answer = await connection.interim()
            assert int(answer.headers["content-length"]) > 0
            assert await connection.answers() == []

    async def test_with_a_body_after_head(self, server: Server) -> None:
        head = request(b"HEAD /health/live")
        async with server.connection() as connection:
            connection.read(head, b"GARBAGE\r\n\r\n")
            assert (await connection.interim()).status == 200
            assert (await connection.answer()).status == 400


@pytest.mark.parametrize(
    "head",
    [
        request(b"GET /health/live", *[b"a:b\r\n"] * 10_000),
        request(b"GET /health/live#x", b"a:" + b"b" * 1_000 + b"\r\n") + b"x" * 60_000,
    ],
)
async def test_a_refused_request_keeps_nothing_of_what_was_read(
    server: Server, head: bytes
) -> None:
    """A client that does not close its side would hold it for some seconds."""
    references = sys.getrefcount(head)
    async with server.connection() as connection:
        connection.read(head)
        assert 400 <= (await connection.answer()).status < 500
        assert sys.getrefcount(head) == references


async def test_an_error_leaves_the_connection_open(server: Server) -> None:
    bad = request(b"POST /nothing", JSON, body=BOY)
    answers = await server.exchange(bad, bad, LAST)
    assert statuses(answers) == [404, 404, 200]
    assert "connection" not in answers[0].headers


@pytest.mark.parametrize("line", [b"POST /pets/", b"DELETE /pets/", b"PATCH /pets/1"])
@pytest.mark.parametrize("framing", [b"", b"Content-Length: 0\r\n"])
@pytest.mark.parametrize("rest", [b"", b' "a"', b"\xef\xbb\xbf{}", DELETE_FIRST])
async def test_a_missing_body_closes_the_connection_as_it_may_follow_without_a_length(
    server: Server, line: bytes, framing: bytes, rest: bytes
) -> None:
    await create(server)
    async with server.connection() as connection:
        connection.read(request(line, JSON, framing) + rest)
        answer = await connection.answer()
        connection.read(DELETE_FIRST)
        assert await connection.answers() == []
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert await count(server) == 1


class TestABodyWithoutALength:
    """Node sends the body of DELETE so. For HTTP its bytes are the next request."""

    @pytest.mark.parametrize("line", [b"DELETE /pets/", b"DELETE /pets/1", b"POST /pets/"])
    @pytest.mark.parametrize("body", [b'{"ids": [1]}', b'[{"ids": [1]}]'])
    async def test_is_refused_with_its_request(
        self, server: Server, line: bytes, body: bytes
    ) -> None:
        await create(server)
        (answer,) = await server.exchange(request(line, JSON) + body, LIVE)
        assert answer.status == 400
        assert "Content-Length" in answer.document["detail"]
        assert answer.headers["connection"] == "close"
        assert await count(server) == 1

    async def test_that_comes_later_is_refused_alone(self, server: Server) -> None:
        await create(server)
        async with server.connection() as connection:
            connection.read(request(b"DELETE /pets/1", JSON))
            assert (await connection.interim()).status == 204
            connection.read(b'{"ids": [1]}')
            assert statuses(await connection.answers()) == [400]

    async def test_of_a_method_that_has_none_is_the_next_request(self, server: Server) -> None:
        answers = await server.exchange(request(b"GET /health/live") + b'{"ids": [1]}')
        assert statuses(answers) == [200, 400]


async def test_a_chunk_never_says_how_long_a_body_is(server: Server) -> None:
    rest = b"\r\n0\r\n\r\n" + LAST
    chunk = b"{\r\nContent-Length: %d\r\n\r\n" % len(rest)
    head = request(b"POST /pets/", JSON, CHUNKED)
    sent = b"%x\r\n%s%s" % (len(chunk), chunk, rest)
    assert statuses(await server.exchange(head, sent)) == [400, 200]


class TestTrailers:
    async def test_are_never_headers(self, server: Server) -> None:
        sent = chunked(b"POST /pets/", body=BOY, trailers=JSON)
        assert statuses(await server.exchange(sent + LAST)) == [415, 200]

    async def test_never_hold_an_idempotency_key(self, server: Server) -> None:
        sent = chunked(b"POST /pets/", JSON, body=BOY, trailers=b"Idempotency-Key: a\r\n")
        assert statuses(await server.exchange(sent + sent + LAST)) == [201, 201, 200]
        assert await count(server) == 2

    async def test_do_not_reach_the_next_request(self, server: Server) -> None:
        first = chunked(b"POST /pets/", JSON, body=BOY, trailers=JSON + b"Host: x\r\n")
        second = request(b"POST /pets/", body=BOY)
        assert statuses(await server.exchange(first + second + LAST)) == [201, 415, 200]

    @pytest.mark.parametrize("trailer", [b"Connection: close\r\n", b"Proxy-Connection: close\r\n"])
    async def test_that_end_the_connection_end_it(self, server: Server, trailer: bytes) -> None:
        """The parser obeys them, and would ignore every later request of the connection."""
        sent = chunked(b"POST /pets/", JSON, body=BOY, trailers=trailer)
        (answer,) = await server.exchange(sent)
        assert answer.status == 201
        assert answer.headers["connection"] == "close"


AFTER_A_REQUEST = {
    "nothing": (b"", []),
    "an unfinished head": (LIVE[:-3], []),
    "an unfinished body": (request(b"POST /pets/", JSON, CHUNKED) + b"2\r\n{", []),
    "a bad request line": (b"GARBAGE\r\n\r\n", [400]),
    "a bad field": (b"GET / HTTP/1.1\r\nHo st: pets\r\n\r\n", [400]),
    "a bad chunk": (request(b"POST /pets/", JSON, CHUNKED) + b"ZZ\r\n", [400]),
    "a head that is too long": (b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES, [431]),
    "good and bad requests": (LIVE + LIVE + b"\0", [200, 200, 400]),
    "empty lines": (LIVE + b"\r\n\r\n", [200]),
}


class TestAClosedSide:
    async def test_still_receives_the_answers_in_flight(
        self, server: Server, repository: GatedRepository
    ) -> None:
        repository.gate.clear()
        async with server.connection() as connection:
            connection.read(request(b"POST /pets/", JSON, body=BOY) + LIVE)
            await repository.reached.wait()
            connection.end()
            await asyncio.sleep(0)  # One turn of the loop, in which the server learns of it.
            repository.gate.set()
            answers = await connection.answers()
        assert statuses(answers) == [201, 200]

    @pytest.mark.parametrize(("rest", "expected"), AFTER_A_REQUEST.values(), ids=AFTER_A_REQUEST)
    @pytest.mark.parametrize("reads", [1, 2])
    async def test_receives_all_answers_that_are_due(
        self,
        server: Server,
        repository: GatedRepository,
        rest: bytes,
        expected: list[int],
        reads: int,
    ) -> None:
        """The first request is complete, whatever follows it."""
        repository.gate.clear()
        first = request(b"POST /pets/", JSON, body=BOY)
        async with server.connection() as connection:
            connection.read(*([first + rest] if reads == 1 else [first, rest]))
            connection.end()
            await repository.reached.wait()
            await asyncio.sleep(0)  # One turn of the loop, in which the server learns of the end.
            repository.gate.set()
            answers = await connection.answers()
        assert statuses(answers) == [201, *expected]

    async def test_receives_a_refusal(self, server: Server, broken: Broken) -> None:
        bad, status = broken
        async with server.connection() as connection:
            connection.read(bad)
            connection.end()
            assert statuses(await connection.answers()) == [status]

    async def test_is_closed_when_nothing_is_in_flight(self, server: Server) -> None:
        async with server.connection() as connection:
            connection.read(LIVE)
            assert (await connection.answer()).status == 200
            connection.end()
            assert await connection.answers() == []

    async def test_is_closed_in_the_middle_of_a_body(self, server: Server) -> None:
        async with server.connection() as connection:
            connection.read(request(b"POST /pets/", JSON, CHUNKED) + b"2\r\n{")
            connection.end()
            assert await connection.answers() == []


ENDLESS = {
    "trailers": (b"0\r\n", b"X: y\r\n"),
    "a trailer": (b"0\r\nX: ", b"x"),
    "an extension of a chunk": (b"2;x=", b"x"),
    "the size of a chunk": (b"", b"0"),
    "a head": (None, b"X: y\r\n"),
    "empty lines": (None, b"\r\n"),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("read_bytes", [100, 2_000, 50_000, 200_000])
async def test_every_part_of_a_request_has_a_limit(
    server: Server, start: bytes | None, more: bytes, read_bytes: int
) -> None:
    head = request(b"POST /pets/", JSON, CHUNKED)
    if start is None:
        start = b"" if more == b"\r\n" else b"GET / HTTP/1.1\r\n"
        head = b""
    part = more * (read_bytes // len(more))
    async with server.connection() as connection:
        connection.read(head + start)
        for _ in range(2 * MAX_HEAD_BYTES // len(part) + 1):
            connection.read(part)
        assert statuses(await connection.answers()) == [431]


@pytest.mark.parametrize("read_bytes", [1_000, 10**6])
@pytest.mark.parametrize(("excess", "expected"), [(-1, 200), (0, 200), (1, 431)])
async def test_a_head_may_have_at_most_64_kib(
    server: Server,
    read_bytes: int,
    excess: int,
    expected: int,
) -> None:
    """The size is that of the request line and the fields, with one space after each colon."""
    start = b"GET /health/live HTTP/1.1\r\n" + HOST + CLOSE + b"X: "
    filler = b"x" * (MAX_HEAD_BYTES + excess - len(start) - 4)
    head = start + filler + b"\r\n\r\n"
    assert len(head) == MAX_HEAD_BYTES + excess
    parts = [head[i : i + read_bytes] for i in range(0, len(head), read_bytes)]
    assert statuses(await server.exchange(*parts)) == [expected]


def with_host(value: str, version: str = "1.1") -> bytes:
    return f"GET /health/live HTTP/{version}\r\n{value}Connection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    "host",
    [
        "pets",
        "pets:3000",
        "pets:",
        "",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:80",
        "a-b_c.example.",
        "p%C3%A9ts",
        "[v1.x]",
    ],
)
async def test_a_valid_host_is_accepted(server: Server, host: str) -> None:
    assert statuses(await server.exchange(with_host(f"Host: {host}\r\n"))) == [200]


@pytest.mark.parametrize(
    "host",
    [
        "a b",
        "a/b",
        "a@b",
        "a:b",
        "a:1:2",
        "::1",
        "[::1",
        "[::g]",
        "http://pets",
        "%zz",
        "a?b",
        "a#b",
        "péts",
    ],
)
async def test_an_invalid_host_is_rejected(server: Server, host: str) -> None:
    (answer,) = await server.exchange(with_host(f"Host: {host}\r\n"))
    assert answer.status == 400
    assert "Host" in answer.document["detail"]


async def test_a_missing_host_is_rejected(server: Server) -> None:
    assert statuses(await server.exchange(with_host(""))) == [400]


async def test_a_repeated_host_is_rejected(server: Server) -> None:
    for version in ("1.0", "1.1"):
        sent = with_host("Host: pets\r\nhost: pets\r\n", version)
        assert statuses(await server.exchange(sent)) == [400]


async def test_http_1_0_may_omit_the_host(server: Server) -> None:
    assert statuses(await server.exchange(with_host("", "1.0"))) == [200]


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2", "3.0", "9.9", "1", ""])
async def test_other_versions_of_http_are_rejected(server: Server, version: str) -> None:
    assert statuses(await server.exchange(with_host("Host: pets\r\n", version) + LIVE)) == [400]


TARGETS = {
    "http://pets/pets/?limit=7": "/pets/?limit=7",
    "HTTP://other:80/pets/?limit=7": "/pets/?limit=7",
    "https://[::1]/pets?limit=7": "/pets/?limit=7",
}


@pytest.mark.parametrize("target", TARGETS)
async def test_a_target_may_be_a_whole_url(server: Server, target: str) -> None:
    (answer,) = await server.exchange(request(f"GET {target}".encode(), CLOSE))
    assert answer.status == 200
    assert TARGETS[target] in answer.headers["link"]


def test_the_host_of_a_url_counts_and_not_the_header() -> None:
    asked = []
    with served("memory://", PETS_ALLOWED_HOSTS="pets") as service:
        for target, host in ((b"http://pets:80/docs", b"evil"), (b"http://evil/docs", b"pets")):
            with socket.create_connection(("127.0.0.1", service.port)) as connection:
                connection.sendall(b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host))
                asked.append(connection.recv(12))
    assert asked == [b"HTTP/1.1 200", b"HTTP/1.1 421"]


@pytest.mark.parametrize("target", ["http://pets", "http://pets?"])
async def test_a_url_without_a_path_is_the_root(server: Server, target: str) -> None:
    (answer,) = await server.exchange(request(f"GET {target}".encode(), CLOSE))
    assert answer.headers["location"] == "/docs"


OTHER_TARGETS = [
    "*",
    "*x",
    "pets",
    "ftp://pets/",
    "http:///",
    "http://:80/",
    "http://a@b/",
    "http://a:b/",
    "/pets/1#draft",
    "/#",
    "/pets/?ids=1#",
    "#",
    "http://pets/pets/1#draft",
    "http://pets#/",
    "http://pets?ids=1#draft",
]


@pytest.mark.parametrize("target", OTHER_TARGETS)
async def test_another_target_is_rejected(server: Server, target: str) -> None:
    assert statuses(await server.exchange(request(f"GET {target}".encode()) + LIVE)) == [400]


@pytest.mark.parametrize("target", ["/pets/1#draft", "http://pets/pets/1#", "/pets/?ids=1#1"])
async def test_a_fragment_changes_nothing(server: Server, target: str) -> None:
    await create(server)
    (answer,) = await server.exchange(request(f"DELETE {target}".encode()))
    assert answer.status == 400
    assert "fragment" in answer.document["detail"]
    assert await count(server) == 1


async def test_options_of_the_whole_service_lists_all_methods(server: Server) -> None:
    (answer,) = await server.exchange(request(b"OPTIONS *", CLOSE))
    assert answer.status == 204
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


CODINGS = [
    "gzip, chunked",
    "gzip",
    "chunked, chunked",
    "identity",
    "xchunked",
    "chunked;q=1",
    "chunked, gzip",
    "",
]


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_transfer_coding_other_than_chunked_is_rejected(
    server: Server, coding: str
) -> None:
    await create(server)
    head = request(b"POST /pets/", JSON, f"Transfer-Encoding: {coding}\r\n".encode())
    assert statuses(await server.exchange(head + b"0\r\n\r\n" + DELETE_FIRST)) == [400]
    assert await count(server) == 1


@pytest.mark.parametrize("field", ["transfer-encoding: CHUNKED", "TRANSFER-ENCODING:Chunked"])
async def test_chunked_may_be_written_in_any_case(server: Server, field: str) -> None:
    head = request(b"POST /pets/", JSON, f"{field}\r\n".encode())
    sent = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BOY), BOY)
    assert statuses(await server.exchange(sent + LAST)) == [201, 200]


async def test_white_space_after_a_value_is_not_part_of_it(server: Server) -> None:
    host = b"Host: pets \t \r\n"
    expectation = b"Expect: 100-continue \t\r\n"
    head = b"POST /pets/ HTTP/1.1\r\n" + host + JSON + expectation + b"Content-Length: 2\r\n\r\n"
    async with server.connection() as connection:
        connection.read(head)
        assert (await connection.interim()).status == 100


async def test_a_transfer_coding_in_http_1_0_is_rejected(server: Server) -> None:
    sent = b"POST /pets/ HTTP/1.0\r\n" + JSON + CHUNKED + b"\r\n0\r\n\r\n"
    assert statuses(await server.exchange(sent)) == [400]


@pytest.mark.parametrize("value", ["gzip, chunked", "trailers", "gzip;q=0.5"])
async def test_the_header_te_is_ignored(server: Server, value: str) -> None:
    te = f"TE: {value}\r\n".encode()
    assert statuses(await server.exchange(request(b"POST /pets/", JSON, te, body=BOY) + LAST)) == [
        201,
        200,
    ]


async def test_an_expectation_of_http_1_0_is_ignored(server: Server) -> None:
    fields = JSON + b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(BOY)
    head = b"POST /pets/ HTTP/1.0\r\n" + fields + b"\r\n"
    assert statuses(await server.exchange(head, BOY)) == [201]


async def test_an_unknown_expectation_is_ignored(server: Server) -> None:
    sent = request(b"POST /pets/", JSON, b"Expect: kindness\r\n", body=BOY)
    assert statuses(await server.exchange(sent + LAST)) == [201, 200]


@pytest.mark.parametrize("path", ["/pets%2f1", "/pets%2F1", "/pets/%2f1", "/health%2flive"])
async def test_an_encoded_slash_does_not_act_as_a_slash(server: Server, path: str) -> None:
    await create(server)
    (answer,) = await server.exchange(request(f"GET {path}".encode(), CLOSE))
    assert (answer.status, answer.document["instance"]) == (404, path)


@pytest.mark.parametrize(
    "path", ["//evil.example/x", "///evil.example", "/%zz", "/%", "/%2", "/a%%31", "/a|b", "/a[b]"]
)
async def test_an_instance_is_the_path_as_it_was_sent(server: Server, path: str) -> None:
    (answer,) = await server.exchange(request(f"GET {path}".encode(), CLOSE))
    assert answer.status == 404
    assert answer.document["instance"] == path_as_sent(path.encode())
