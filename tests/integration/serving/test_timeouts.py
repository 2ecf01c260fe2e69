"""Clients and requests that take too long. The tests say how much time passes between sweeps."""

import asyncio
import json
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from pets.adapters.memory import InMemoryPetRepository
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import NewPet, Pet, PetType
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage
from pets.serving import timeouts
from pets.serving.closing import LINGER_SECONDS
from pets.serving.configuration import GRACE_SECONDS
from pets.serving.timeouts import (
    BODY_SECONDS,
    HEAD_SECONDS,
    IDLE_SECONDS,
    MAX_ENDS,
    READER_SECONDS,
    STOP_SECONDS,
)
from tests.integration.served import Served, served
from tests.integration.serving.connections import REQUEST_SECONDS, Connection, Server, statuses

pytestmark = pytest.mark.anyio

HOST = b"Host: pets\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
LISTING = b"GET /pets/ HTTP/1.1\r\n" + HOST + b"\r\n"
LONG_LISTING = LISTING.replace(b"/pets/", b"/pets/?limit=1000")
BOY = json.dumps({"name": "boy", "age": 7, "type": "dog"}).encode()
CREATION = (
    b"POST /pets/ HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(BOY)
    + HOST
    + b"\r\n"
)


class StuckRepository(InMemoryPetRepository):
    """Does nothing while it is stuck. It is not stuck at first."""

    def __init__(self) -> None:
        super().__init__()
        self.works = asyncio.Event()
        self.works.set()

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        await self.works.wait()
        return await super().add(pets)

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        await self.works.wait()
        return await super().remove(ids, expected=expected)

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        await self.works.wait()
        return await super().find(ids)

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        await self.works.wait()
        return await super().pages(queries)


@pytest.fixture(autouse=True)
def _no_other_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "SWEEP_SECONDS", 1000)


@pytest.fixture(autouse=True)
def _no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail the test if the server logs an error of its own."""
    yield
    for record in caplog.records:
        assert record.name.startswith("pets") or record.levelno < logging.ERROR, record.getMessage()


@pytest.fixture
async def repository() -> StuckRepository:
    return StuckRepository()


@pytest.fixture
async def server(repository: StuckRepository) -> Server:
    return Server(repository)


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    async with server.connection() as connection:
        yield connection


HEADS = {"its first byte": b"G", "an unfinished line": b"GET /", "an unfinished field": LIVE[:-3]}


@pytest.mark.parametrize("part", HEADS.values(), ids=HEADS)
class TestAHead:
    async def test_that_takes_too_long_is_refused(
        self, server: Server, connection: Connection, part: bytes
    ) -> None:
        connection.read(part)
        await server.sweep(0, HEAD_SECONDS)
        (answer,) = await connection.answers()
        assert (answer.status, answer.document["status"]) == (408, 408)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"

    async def test_that_arrives_in_time_is_answered(
        self, server: Server, connection: Connection, part: bytes
    ) -> None:
        connection.read(part)
        await server.sweep(0, HEAD_SECONDS - 1)
        connection.read(LIVE[len(part) :])
        assert (await connection.answer()).status == 200

    async def test_is_timed_after_an_answer_too(
        self, server: Server, connection: Connection, part: bytes
    ) -> None:
        connection.read(LIVE)
        assert (await connection.answer()).status == 200
        await server.sweep(IDLE_SECONDS - 1)
        connection.read(part)
        await server.sweep(1)
        await server.sweep(HEAD_SECONDS)
        assert statuses(await connection.answers()) == [408]

    async def test_is_not_timed_while_an_earlier_request_is_answered(
        self, server: Server, repository: StuckRepository, connection: Connection, part: bytes
    ) -> None:
        repository.works.clear()
        connection.read(LISTING, part)
        await server.sweep(HEAD_SECONDS - 1)
        await server.sweep(REQUEST_SECONDS - 1)
        repository.works.set()
        assert (await connection.answer()).status == 200
        await server.sweep(HEAD_SECONDS - 1)
        connection.read(LIVE[len(part) :])
        assert (await connection.answer()).status == 200


async def test_a_head_gets_no_more_time_with_each_byte(
    server: Server, connection: Connection
) -> None:
    for byte in range(HEAD_SECONDS + 1):
        connection.read(LIVE[byte : byte + 1])
        await server.sweep(1)
    assert statuses(await connection.answers()) == [408]


async def test_many_requests_get_their_time_each(server: Server, connection: Connection) -> None:
    """At each sweep a head is unfinished, but never the same one."""
    connection.read(LIVE[:5])
    for _ in range(3 * HEAD_SECONDS):
        await server.sweep(1)
        connection.read(LIVE[5:] + LIVE[:5])
        assert (await connection.answer()).status == 200


class TestABody:
    async def test_that_takes_too_long_is_refused(
        self, server: Server, connection: Connection
    ) -> None:
        connection.read(CREATION)
        for _ in range(BODY_SECONDS + 1):  # It gets no more time with each byte.
            connection.read(b" ")
            await server.sweep(1)
        (answer,) = await connection.answers()
        assert (answer.status, answer.document["instance"]) == (408, "/pets/")
        assert answer.headers["connection"] == "close"

    async def test_that_arrives_in_time_is_read(
        self, server: Server, connection: Connection
    ) -> None:
        """The time for the answer begins when the body has arrived."""
        connection.read(CREATION)
        await server.sweep(0, BODY_SECONDS - 1)
        connection.read(BOY)
        await server.sweep(REQUEST_SECONDS - 1)
        assert (await connection.answer()).status == 201

    async def test_has_its_own_time(self, server: Server, connection: Connection) -> None:
        """At each sweep a body is unfinished, but never the same one."""
        connection.read(CREATION)
        for _ in range(2 * BODY_SECONDS):
            await server.sweep(1)
            connection.read(BOY + CREATION)
            assert (await connection.answer()).status == 201

    async def test_that_is_not_read_does_not_prolong_its_request(
        self, server: Server, repository: StuckRepository, connection: Connection
    ) -> None:
        repository.works.clear()
        connection.read(b"DELETE /pets/1 HTTP/1.1\r\nContent-Length: 9\r\n" + HOST + b"\r\n")
        await server.sweep(0, BODY_SECONDS, 0, REQUEST_SECONDS)
        assert statuses(await connection.answers()) == [503]

    async def test_is_not_timed_while_an_earlier_request_is_answered(
        self, server: Server, repository: StuckRepository, connection: Connection
    ) -> None:
        repository.works.clear()
        connection.read(LISTING * 5 + CREATION)
        for _ in range(5):
            await server.sweep(0, REQUEST_SECONDS)
            assert (await connection.answer()).status == 503
        repository.works.set()
        connection.read(BOY)
        assert (await connection.answer()).status == 201


class TestAnIdleConnection:
    async def test_is_closed_in_silence(self, server: Server, connection: Connection) -> None:
        await server.sweep(0, IDLE_SECONDS)
        assert await connection.answers() == []

    async def test_is_kept_until_then(self, server: Server, connection: Connection) -> None:
        for _ in range(3):
            await server.sweep(0, IDLE_SECONDS - 1)
            connection.read(LIVE)
            assert (await connection.answer()).status == 200
        assert connection.is_open()

    async def test_is_closed_after_an_answer_too(
        self, server: Server, connection: Connection
    ) -> None:
        connection.read(LIVE)
        assert (await connection.answer()).status == 200
        await server.sweep(0, IDLE_SECONDS)
        assert await connection.answers() == []

    async def test_does_not_live_on_empty_lines(
        self, server: Server, connection: Connection
    ) -> None:
        for _ in range(IDLE_SECONDS + 1):
            connection.read(b"\r\n")
            await server.sweep(1)
        assert await connection.answers() == []


async def test_a_connection_lingers_for_a_time(server: Server, connection: Connection) -> None:
    """The client still sends after its answer, which begins before its body has ended."""
    connection.read(b"POST /nothing HTTP/1.1\r\nContent-Length: 9\r\n" + HOST + b"\r\n")
    assert (await connection.answer()).status == 404
    await server.sweep(0, LINGER_SECONDS - 1)
    assert server.connections == 1
    await server.sweep(1)
    assert not server.connections


@pytest.fixture
async def reader(repository: StuckRepository, connection: Connection) -> Connection:
    """A client that has asked for more than the system keeps for it, and has read nothing."""
    pet = NewPet(name="x" * 100, age=7, type=PetType.DOG)
    await repository.add([pet] * 1000)
    connection.read(LONG_LISTING * 100)
    await connection.wait_until_blocked()
    return connection


class TestAClientThatDoesNotRead:
    async def test_is_cut_off(self, server: Server, reader: Connection) -> None:
        await server.sweep(0, READER_SECONDS - 1)
        assert server.connections == 1
        await server.sweep(1)
        assert not server.connections
        assert not server.tasks
        assert reader.is_open()  # It has not even read the end.

    async def test_is_served_while_it_takes_a_little(
        self, server: Server, reader: Connection
    ) -> None:
        length = 0
        for _ in range(10):
            await server.sweep(READER_SECONDS - 1)
            length += len(await reader.take(2**20))
            await asyncio.sleep(0.02)  # The system moves the next bytes.
        assert length > 2**22
        assert server.connections == 1

    async def test_is_served_while_it_takes_parts_of_one_answer(
        self, server: Server, repository: StuckRepository
    ) -> None:
        await repository.add([NewPet(name="\N{DOG}" * 100, age=7, type=PetType.DOG)] * 1000)
        loop = asyncio.get_running_loop()
        length = 0
        async with server.accepted() as (protocol, client):
            protocol.data_received(LONG_LISTING)
            while length < 450_000:
                await server.sweep(READER_SECONDS / 6)
                async with asyncio.timeout(5):
                    part = await loop.sock_recv(client, 50_000)
                assert part
                length += len(part)
            assert server.connections == 1

    async def test_is_cut_off_when_it_closes_too(self, server: Server, reader: Connection) -> None:
        """Its answers would wait for it as long, because the server would not drop them."""
        reader.read(b"GARBAGE\r\n\r\n")
        await server.sweep(0, READER_SECONDS)
        assert not server.connections


NOT_READ = b"POST /nothing HTTP/1.1\r\nContent-Length: 9\r\n" + HOST + b"\r\n"
CHUNK = b"POST /pets/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n2\r\n{"
UNFINISHED = {
    "a head": (LIVE[:5], 408),
    "a body": (CREATION, 408),
    "a body that is not read": (NOT_READ, 404),
    "chunks": (CHUNK, 408),
}


class TestAStop:
    @pytest.mark.parametrize(("part", "status"), UNFINISHED.values(), ids=UNFINISHED)
    async def test_does_not_wait_for_the_rest_of_a_request(
        self, server: Server, connection: Connection, part: bytes, status: int
    ) -> None:
        """Nothing was begun, so the client may send it again."""
        connection.read(part)
        await server.sweep(0)
        server.stop()
        await server.sweep(1, STOP_SECONDS)
        assert statuses(await connection.answers()) == [status]
        assert not server.connections
        assert not server.tasks

    async def test_does_not_wait_for_a_client_that_does_not_read(
        self, server: Server, reader: Connection
    ) -> None:
        server.stop()
        await server.sweep(1, STOP_SECONDS - 1)
        assert server.connections == 1
        await reader.take(2**20)  # It gets no more time for this.
        await server.sweep(1)
        assert not server.connections
        assert not server.tasks

    async def test_lets_requests_in_flight_finish(
        self, server: Server, repository: StuckRepository, connection: Connection
    ) -> None:
        repository.works.clear()
        connection.read(LISTING)
        await server.sweep(0)
        server.stop()
        await server.sweep(1, STOP_SECONDS)
        repository.works.set()
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.thorough
def test_a_stop_cuts_off_clients_that_do_not_read(sqlite_url: str) -> None:
    """The log has no error."""
    body = json.dumps({"name": "x" * 100, "age": 7, "type": "dog"}).encode()
    creation = b"POST /pets/ HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
    creation += b"Content-Length: %d\r\n\r\n" % len(body) + body
    with served(sqlite_url) as service, connect(service) as client:
        client.sendall(creation * 1000)
        answers = b""
        while answers.count(b"HTTP/1.1 201 ") < 1000:
            answers += client.recv(65536)
        client.settimeout(1)
        with suppress(TimeoutError):  # The service reads no more.
            client.sendall(LONG_LISTING * 10_000)
        began = time.monotonic()
        service.process.terminate()
        _, log = service.process.communicate(timeout=30)
        assert time.monotonic() - began < GRACE_SECONDS + 2
        assert service.process.returncode == 0
    assert "Exception" not in log
    assert "Cancel" not in log


async def test_only_some_connections_end_in_one_turn_of_the_loop(server: Server) -> None:
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(server.connection()) for _ in range(3 * MAX_ENDS)
        ]
        for connection in connections:
            connection.read(LIVE[:5])
            await asyncio.sleep(0)
        server.admission.sweep.run(0)
        server.admission.sweep.run(HEAD_SECONDS)
        assert len(server.tasks) == MAX_ENDS
        for connection in connections:  # The others come just in time.
            connection.read(LIVE[5:])
        answers = [await connection.answer() for connection in connections]
    assert Counter(statuses(answers)) == {408: MAX_ENDS, 200: 2 * MAX_ENDS}


STUCK = {
    "a listing": (LISTING, "/problems/not-done"),
    "a head": (LISTING.replace(b"GET", b"HEAD"), None),
    "a pet": (LISTING.replace(b"/pets/", b"/pets/1"), "/problems/not-done"),
    "a creation": (CREATION + BOY, "/problems/outcome-unknown"),
}


class TestARequestThatIsNotAnswered:
    @pytest.mark.parametrize(("request_", "type_"), STUCK.values(), ids=STUCK)
    async def test_is_a_503_that_says_whether_it_was_done(
        self,
        server: Server,
        repository: StuckRepository,
        connection: Connection,
        request_: bytes,
        type_: str | None,
    ) -> None:
        repository.works.clear()
        connection.read(request_)
        await server.sweep(0, REQUEST_SECONDS)
        answer = await (connection.answer() if type_ else connection.interim())
        assert answer.status == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert "connection" not in answer.headers
        if type_:
            assert answer.document["type"] == type_
        repository.works.set()
        connection.read(LISTING)
        assert (await connection.answer()).document["count"] == 0

    async def test_has_all_its_time(
        self, server: Server, repository: StuckRepository, connection: Connection
    ) -> None:
        repository.works.clear()
        connection.read(LISTING)
        await server.sweep(0, REQUEST_SECONDS - 1)
        repository.works.set()
        assert (await connection.answer()).status == 200

    async def test_does_not_shorten_the_time_of_the_next(
        self, server: Server, repository: StuckRepository, connection: Connection
    ) -> None:
        repository.works.clear()
        connection.read(LISTING * 2)
        await server.sweep(0, REQUEST_SECONDS)
        assert (await connection.answer()).status == 503
        await server.sweep(0, REQUEST_SECONDS - 1)
        repository.works.set()
        assert (await connection.answer()).status == 200

    async def test_ends_in_time_although_its_client_has_gone(
        self, server: Server, repository: StuckRepository
    ) -> None:
        repository.works.clear()
        async with server.connection() as connection:
            connection.read(LISTING)
            await server.sweep(0)
            await connection.lose()
            assert not server.connections
            assert len(server.tasks) == 1
            await server.sweep(REQUEST_SECONDS - 1)
            assert len(server.tasks) == 1
            await server.sweep(1)
            assert not server.tasks


class SlowlyFailingRepository(StuckRepository):
    """Takes its time to fail when it is cancelled."""

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self.works.wait()
            raise StoreUnavailable("The store is clean again.") from None
        return await super().pages(queries)


async def test_a_store_may_take_time_to_clean_up() -> None:
    repository = SlowlyFailingRepository()
    repository.works.clear()
    server = Server(repository)
    async with server.connection() as connection:
        connection.read(LISTING)
        await server.sweep(0, REQUEST_SECONDS, REQUEST_SECONDS - 1)
        repository.works.set()
        assert (await connection.answer()).document["detail"] == "The store is clean again."


async def test_a_request_without_its_client_ends_without_help(
    repository: StuckRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeps are real ones, and go on when no connection is left."""
    monkeypatch.setattr(timeouts, "SWEEP_SECONDS", 0.05)
    repository.works.clear()
    server = Server(repository, request_seconds=0.2)
    async with server.connection() as connection:
        connection.read(LISTING)
        await connection.lose()
        assert not server.connections
        await asyncio.wait(server.tasks, timeout=5)
        assert not server.tasks


async def test_a_process_that_was_stopped_takes_no_time_from_clients(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(timeouts, "HEAD_SECONDS", 0.4)
    async with server.connection() as connection:
        connection.read(LIVE[:5])
        await asyncio.sleep(0.05)  # Some sweeps come.
        time.sleep(0.5)  # noqa: ASYNC251  # This stops the loop.
        await asyncio.sleep(0.05)
        connection.read(LIVE[5:])
        assert (await connection.answer()).status == 200


async def test_a_thousand_unfinished_heads_are_gone_in_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connections are real ones, and so are the sweeps, but the times are short."""
    monkeypatch.setattr(timeouts, "SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(timeouts, "HEAD_SECONDS", 1)
    monkeypatch.setattr(timeouts, "LINGER_SECONDS", 0.5)
    async with server.listening() as port:
        files = open_files()
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1000)]
        for _, writer in clients:
            writer.write(LIVE[:5])
        async with asyncio.timeout(20):
            for reader, _ in clients:
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 408 ")
            await server.wait_for_connections_to_end()
        for _, writer in clients:
            writer.close()
            await writer.wait_closed()
        assert open_files() == files


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # Their names do not matter.


@pytest.mark.thorough
async def test_a_locked_table_costs_each_request_its_time_alone(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is used again afterwards."""
    monkeypatch.setenv("PETS_REQUEST_TIMEOUT", "2")
    with served(postgresql_url) as service, connect(service) as client:
        database = await asyncpg.connect(postgresql_url)
        async with database.transaction():
            await database.execute("LOCK TABLE pets IN ACCESS EXCLUSIVE MODE")
            for request in (LISTING, CREATION + BOY):
                began = time.monotonic()
                client.sendall(request)
                answer = client.recv(65536)
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"/problems/" in answer
                assert time.monotonic() - began < 4
        await database.close()
        client.sendall(CREATION + BOY)
        assert client.recv(65536).startswith(b"HTTP/1.1 201 ")


def connect(service: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)
