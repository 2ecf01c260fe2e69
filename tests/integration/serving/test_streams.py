"""Streams of all pets to clients that read fast, slowly, or not at all."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import pytest

from pets.adapters.memory import InMemoryPetRepository
from pets.api import streams
from pets.api.formats import ndjson_lines
from pets.api.streams import MAX_STREAMS
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import NewPet, Pet, PetType
from pets.domain.query import PetQuery
from pets.serving import timeouts
from pets.serving.timeouts import READER_SECONDS, STOP_SECONDS
from tests.integration.serving.connections import REQUEST_SECONDS, Connection, Server

pytestmark = pytest.mark.anyio

END = None
FAILURE = StoreUnavailable("The store is gone.")
PETS = [NewPet(name="x" * 100, age=7, type=PetType.DOG).with_id(id_) for id_ in range(1, 1001)]
LINES = ndjson_lines(PETS)
STREAM = b"GET /pets/ HTTP/1.1\r\nAccept: application/x-ndjson\r\nHost: pets\r\n\r\n"
OLD_STREAM = STREAM.replace(b"1.1", b"1.0")
LISTING = b"GET /pets/ HTTP/1.1\r\nHost: pets\r\n\r\n"


class StreamingRepository(InMemoryPetRepository):
    """Each export has the chunks that the test gives, and waits for more until it ends or fails."""

    def __init__(self) -> None:
        super().__init__()
        self._given: list[Sequence[Pet] | StoreUnavailable | None] = []
        self._more = asyncio.Event()
        self.taken = 0  # chunks of all exports
        self.open = 0  # exports

    def give(self, *parts: Sequence[Pet] | StoreUnavailable | None) -> None:
        self._given += parts
        self._more.set()
        self._more = asyncio.Event()

    async def export(self, _query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        self.open += 1
        try:
            for number in count():
                while len(self._given) == number:
                    await self._more.wait()
                part = self._given[number]
                if part is END:
                    return
                if isinstance(part, StoreUnavailable):
                    raise part
                self.taken += 1
                yield part
        finally:
            self.open -= 1


@pytest.fixture(autouse=True)
def _no_other_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "SWEEP_SECONDS", 1000)


@pytest.fixture
def repository() -> StreamingRepository:
    return StreamingRepository()


@pytest.fixture
async def server(repository: StreamingRepository) -> AsyncIterator[Server]:
    server = Server(repository)
    yield server
    assert not server.tasks
    assert not repository.open


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    async with server.connection() as connection:
        yield connection


async def body_of(connection: Connection) -> tuple[bytes, bool]:
    """Return what has come of a body in chunks, and whether it is complete."""
    body = b""
    received = b""
    while part := await connection.take(2**20):
        received += part
        while b"\r\n" in received:
            size, _, rest = received.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                break
            body += rest[:length]
            received = rest[length + 2 :]
            if not length:
                return body, True
    return body, False


async def begin(connection: Connection, repository: StreamingRepository) -> None:
    """Ask for a stream, and read its head."""
    repository.give(PETS)
    connection.read(STREAM)
    assert (await connection.interim()).status == 200


async def test_a_stream_comes_in_chunks_and_leaves_the_connection_usable(
    repository: StreamingRepository, connection: Connection
) -> None:
    repository.give(*[PETS] * 3, END)
    connection.read(STREAM + LISTING)
    head = await connection.interim()
    assert head.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in head.headers
    assert await body_of(connection) == (3 * LINES, True)
    assert (await connection.answer()).status == 200


async def test_a_stream_has_no_deadline_once_it_has_begun(
    server: Server, repository: StreamingRepository, connection: Connection
) -> None:
    await begin(connection, repository)
    for _ in range(5):
        await server.sweep(REQUEST_SECONDS)
        repository.give(PETS)
    repository.give(END)
    assert await body_of(connection) == (6 * LINES, True)


async def test_a_stream_that_does_not_begin_in_time_is_503(
    server: Server, connection: Connection
) -> None:
    connection.read(STREAM)
    await server.sweep(0, REQUEST_SECONDS)
    assert (await connection.answer()).status == 503


async def test_a_store_that_fails_before_the_stream_begins_is_503(
    repository: StreamingRepository, connection: Connection
) -> None:
    repository.give(FAILURE)
    connection.read(STREAM)
    answer = await connection.answer()
    assert (answer.status, answer.document["detail"]) == (503, "The store is gone.")
    assert "retry-after" in answer.headers


async def test_a_store_that_fails_later_cuts_off_the_stream(
    repository: StreamingRepository, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await begin(connection, repository)
    repository.give(FAILURE)
    assert await body_of(connection) == (LINES, False)
    assert "GET /pets/ was cut off: The store is gone." in caplog.text


async def test_a_stream_takes_an_hour_at_most(
    repository: StreamingRepository, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_STREAM_SECONDS", 0.01)
    await begin(connection, repository)
    assert await body_of(connection) == (LINES, False)


async def test_more_streams_than_allowed_are_503_until_one_ends(
    server: Server, repository: StreamingRepository, connection: Connection
) -> None:
    async with AsyncExitStack() as stack:
        running = []
        for _ in range(MAX_STREAMS):
            running.append(await stack.enter_async_context(server.connection()))
            await begin(running[-1], repository)
        connection.read(STREAM)
        refused = await connection.answer()
        assert (refused.status, "retry-after" in refused.headers) == (503, True)
        connection.read(LISTING)
        assert (await connection.answer()).status == 200
        await running[0].lose()
        repository.give(PETS)
        await server.sweep(0)
        await begin(connection, repository)
        repository.give(END)


async def test_nothing_is_read_for_a_client_that_has_gone(
    server: Server, repository: StreamingRepository
) -> None:
    async with server.connection() as connection:
        await begin(connection, repository)
        await connection.lose()
        repository.give(*[PETS] * 10)
        await server.sweep(0)
        assert not server.tasks
    assert repository.taken == 2


async def wait_until_full(repository: StreamingRepository) -> None:
    """Return when the system keeps no more for the client, so that no more is read for it."""
    async with asyncio.timeout(5):
        taken = -1
        while repository.taken != taken:
            taken = repository.taken
            await asyncio.sleep(0.02)


class TestAClientThatReadsSlowly:
    async def test_takes_no_more_memory_than_one_chunk(
        self, server: Server, repository: StreamingRepository
    ) -> None:
        repository.give(*[PETS] * 1000)
        async with server.accepted() as (protocol, _):
            protocol.data_received(STREAM)
            await wait_until_full(repository)
            assert repository.taken < 50
            assert protocol.transport.get_write_buffer_size() < 2 * len(LINES)

    async def test_is_served_although_ever_more_is_written_for_it(
        self, server: Server, repository: StreamingRepository, connection: Connection
    ) -> None:
        """At each sweep as much waits for it as at the one before."""
        repository.give(*[PETS] * 1000)
        connection.read(STREAM)
        for _ in range(10):
            await wait_until_full(repository)
            await server.sweep(READER_SECONDS - 1)
            taken = repository.taken
            while repository.taken < taken + 5:
                assert await connection.take(2**16)
        assert server.connections == 1

    async def test_is_cut_off_if_it_takes_nothing(
        self, server: Server, repository: StreamingRepository, connection: Connection
    ) -> None:
        repository.give(*[PETS] * 1000)
        connection.read(STREAM)
        await wait_until_full(repository)
        await server.sweep(0, READER_SECONDS - 1)
        assert server.connections == 1
        await server.sweep(1)
        assert not server.connections
        assert not server.tasks


async def test_a_stop_cuts_off_a_stream_in_time(
    server: Server,
    repository: StreamingRepository,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await begin(connection, repository)
    await server.sweep(0)
    server.stop()
    await server.sweep(1, STOP_SECONDS - 1)
    repository.give(PETS)
    await server.sweep(0)
    assert server.connections == 1
    await server.sweep(1)
    repository.give(PETS)
    assert await body_of(connection) == (2 * LINES, False)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class TestHTTP10:
    """It knows no chunks, so the end of the connection is the end of the body."""

    @staticmethod
    @asynccontextmanager
    async def client(server: Server) -> AsyncIterator[asyncio.StreamReader]:
        """Ask for a stream over TCP, because other sockets cannot be reset."""
        async with server.listening() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            writer.write(OLD_STREAM)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"transfer-encoding" not in head
                assert b"connection: close" in head
                yield reader
            finally:
                writer.close()
                await server.wait_for_connections_to_end()

    async def test_gets_the_body_without_chunks(
        self, server: Server, repository: StreamingRepository
    ) -> None:
        repository.give(*[PETS] * 3, END)
        async with self.client(server) as reader:
            assert await reader.read() == 3 * LINES

    async def test_sees_a_reset_if_the_stream_is_cut_off(
        self, server: Server, repository: StreamingRepository
    ) -> None:
        repository.give(PETS)
        async with self.client(server) as reader:
            assert await reader.readexactly(len(LINES)) == LINES
            repository.give(FAILURE)
            with pytest.raises(ConnectionResetError):
                await reader.read()

    async def test_gets_other_answers_as_ever(self, server: Server) -> None:
        (answer,) = await server.exchange(LISTING.replace(b"1.1", b"1.0"))
        assert answer.document == {"count": 0, "items": []}
