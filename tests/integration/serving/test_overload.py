"""More requests than the service can answer in time, and more connections than it may open."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress

import asyncpg
import pytest

from pets.adapters.memory import InMemoryPetRepository
from pets.api.problems import MAX_RETRY_AFTER_SECONDS
from pets.domain.pet import NewPet, PetType
from pets.serving.accepting import RESERVED_FILES
from pets.serving.admission import MAX_PARTS, MAX_STARTS, MAX_WAIT_SECONDS
from pets.serving.queues import Capacity
from pets.serving.reading import MAX_PART_BYTES
from pets.telemetry.request_context import Observation
from tests.integration.served import Served, served
from tests.integration.serving.connections import Answer, Connection, Server, statuses

pytestmark = pytest.mark.anyio

HOST = b"Host: pets\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
LISTING = b"GET /pets/ HTTP/1.1\r\n" + HOST + b"\r\n"
BOY = json.dumps({"name": "boy", "age": 7, "type": "dog"}).encode()
CREATION = (
    b"POST /pets/ HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(BOY)
    + HOST
    + b"\r\n"
)
LOCK = "LOCK TABLE pets IN ACCESS EXCLUSIVE MODE"


class Room:
    """Whether the store has room."""

    def __init__(self) -> None:
        self.is_free = True
        self._is_asked = asyncio.Event()

    def __call__(self) -> bool:
        self._is_asked.set()
        return self.is_free

    async def wait_until_asked_again(self) -> None:
        self._is_asked.clear()
        await self._is_asked.wait()


@pytest.fixture
async def room() -> Room:
    return Room()


@pytest.fixture
async def server(room: Room) -> Server:
    return Server(InMemoryPetRepository(), Capacity(reads=room, writes=room))


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    async with server.connection() as connection:
        yield connection


async def test_a_request_waits_until_there_is_room(room: Room, connection: Connection) -> None:
    room.is_free = False
    connection.read(CREATION + BOY, LIVE)
    await room.wait_until_asked_again()
    room.is_free = True
    assert (await connection.answer()).status == 201


async def test_a_request_that_waits_too_long_is_rejected(
    room: Room, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """All are rejected by one document. The log has two lines, however many they are."""
    room.is_free = False
    answers = await rejections(server, 100)
    assert statuses(answers) == [503] * 100
    assert answers[0].document["status"] == 503
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].headers["x-content-type-options"] == "nosniff"
    seconds = {int(answer.headers["retry-after"]) for answer in answers}
    assert len(seconds) > 3
    assert seconds <= set(range(1, MAX_RETRY_AFTER_SECONDS + 1))
    messages = [record.message for record in caplog.records if record.name.startswith("pets")]
    assert messages == [
        f"Rejecting requests that have waited for {MAX_WAIT_SECONDS} s.",
        "Rejected 100 requests. Now none waits.",
    ]


async def test_the_time_of_a_request_includes_its_wait(room: Room) -> None:
    seen: list[Observation] = []
    room.is_free = False
    server = Server(InMemoryPetRepository(), Capacity(room), observers=[seen.append])
    await rejections(server, 1)
    (observation,) = seen
    assert observation.seconds >= MAX_WAIT_SECONDS - 0.01  # The clock of the loop is coarse.


async def rejections(server: Server, number: int) -> list[Answer]:
    async def ask() -> Answer:
        async with server.connection() as connection:
            connection.read(LISTING)
            return await connection.answer()

    return await asyncio.gather(*[ask() for _ in range(number)])


async def test_a_connection_is_used_again_after_a_rejection(
    room: Room, connection: Connection
) -> None:
    room.is_free = False
    connection.read(CREATION, BOY)
    assert (await connection.answer()).status == 503
    room.is_free = True
    connection.read(LISTING)
    assert (await connection.answer()).document["count"] == 0


async def test_pipelined_requests_keep_their_order(room: Room, connection: Connection) -> None:
    room.is_free = False
    connection.read(CREATION + BOY + LIVE + LISTING + CREATION[:30], CREATION[30:] + BOY)
    await room.wait_until_asked_again()
    room.is_free = True
    answers = [await connection.answer() for _ in range(4)]
    assert statuses(answers) == [201, 200, 200, 201]
    assert answers[2].document["count"] == 1


async def test_a_head_that_comes_in_parts_is_rejected_whole(
    room: Room, connection: Connection
) -> None:
    room.is_free = False
    connection.read(LISTING[:10], LISTING[10:])
    assert (await connection.answer()).status == 503
    connection.read(LIVE)
    assert (await connection.answer()).status == 200


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
async def test_a_rejection_before_the_body_closes_the_connection(
    room: Room, connection: Connection, expect: bytes
) -> None:
    room.is_free = False
    connection.read(CREATION[:-2] + expect + b"\r\n")
    (answer,) = await connection.answers()
    assert (answer.status, answer.headers["connection"]) == (503, "close")


async def test_a_broken_request_is_refused_after_one_that_waits(
    room: Room, connection: Connection
) -> None:
    room.is_free = False
    connection.read(LISTING, b"GARBAGE\r\n\r\n")
    assert statuses(await connection.answers()) == [503, 400]


async def test_a_client_that_closes_its_side_still_gets_its_answer(
    room: Room, connection: Connection
) -> None:
    room.is_free = False
    connection.read(LISTING)
    connection.end()
    assert statuses(await connection.answers()) == [503]


async def test_a_waiting_request_whose_connection_is_lost_is_forgotten(
    room: Room, server: Server
) -> None:
    room.is_free = False
    async with server.connection() as lost:
        lost.read(CREATION + BOY)
    await asyncio.sleep(0)  # The server learns of it.
    room.is_free = True
    async with server.connection() as connection:
        connection.read(CREATION + BOY)
        assert (await connection.answer()).document["id"] == 1
    assert server.admission.waiting() == 0


async def test_health_passes_those_that_wait(room: Room, server: Server) -> None:
    room.is_free = False
    async with server.connection() as waiting, server.connection() as probe:
        waiting.read(LISTING)
        probe.read(LIVE)
        assert (await probe.answer()).status == 200
        room.is_free = True
        assert (await waiting.answer()).status == 200


LONG_LISTING = LISTING.replace(b"/pets/", b"/pets/?type=dog&limit=1000")
SEARCH = LISTING.replace(b"/pets/", b"/pets/?name=a")


@pytest.mark.parametrize(
    ("kind", "waiting", "served"),
    [
        ("reads", [LISTING], [LONG_LISTING, SEARCH, CREATION + BOY]),
        ("expensive_reads", [LONG_LISTING, SEARCH], [LISTING, CREATION + BOY]),
        ("writes", [CREATION + BOY], [LISTING, LONG_LISTING, SEARCH]),
    ],
)
async def test_no_kind_of_request_waits_for_the_room_of_another(
    kind: str, waiting: list[bytes], served: list[bytes]
) -> None:
    server = Server(InMemoryPetRepository(), Capacity(**{kind: lambda: False}))
    async with AsyncExitStack() as stack:

        async def send(request: bytes) -> Connection:
            connection = await stack.enter_async_context(server.connection())
            connection.read(request)
            return connection

        rejected = [await send(request) for request in waiting]
        answered = [await send(request) for request in served]
        assert all([(await connection.answer()).status in {200, 201} for connection in answered])
        assert statuses([await connection.answer() for connection in rejected]) == [503] * len(
            waiting
        )


EXPENSIVE = [
    b"name=a",
    b"type=dog&limit=1000",
    b"%6eame=a",
    b"type=dog&n%61m%65=a",
    b"limit=%31%30%30%30",
    b"%6C%69%6D%69%74=1000",
]


@pytest.mark.parametrize("query", EXPENSIVE)
async def test_expensive_requests_do_not_keep_cheap_ones_waiting(room: Room, query: bytes) -> None:
    server = Server(InMemoryPetRepository(), Capacity(expensive_reads=room))
    room.is_free = False
    async with server.connection() as expensive, server.connection() as cheap:
        expensive.read(LISTING.replace(b"/pets/", b"/pets/?" + query))
        cheap.read(LISTING.replace(b"/pets/", b"/pets/?%6Cimit=20"))
        assert (await cheap.answer()).status == 200
        assert server.admission.waiting() == 1
        room.is_free = True
        assert (await expensive.answer()).status == 200


@asynccontextmanager
async def many_connections(server: Server, number: int) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(server.connection()) for _ in range(number)]


async def test_only_some_requests_begin_in_one_turn_of_the_loop(server: Server) -> None:
    async with many_connections(server, 3 * MAX_STARTS) as connections:
        for connection in connections:
            connection.read(LISTING)
        assert len(server.tasks) == MAX_STARTS
        answers = [await connection.answer() for connection in connections]
    assert statuses(answers) == [200] * len(connections)


async def test_only_some_parts_are_parsed_in_one_turn_of_the_loop(server: Server) -> None:
    """Checks of health begin as soon as they are parsed."""
    async with many_connections(server, 3 * MAX_PARTS) as connections:
        for connection in connections:
            connection.read(LIVE)
        assert len(server.tasks) == MAX_PARTS
        answers = [await connection.answer() for connection in connections]
    assert statuses(answers) == [200] * len(connections)


async def test_health_passes_those_that_wait_to_be_parsed(room: Room, server: Server) -> None:
    room.is_free = False
    async with many_connections(server, 3 * MAX_PARTS) as connections:
        probe, *others = connections
        for other in others:
            other.read(LISTING)
        probe.read(LIVE)
        await asyncio.sleep(0)  # a turn
        assert server.admission.parsing() > MAX_PARTS / 2
        assert len(server.tasks) == 1
        assert (await probe.answer()).status == 200
        room.is_free = True
        assert statuses([await other.answer() for other in others]) == [200] * len(others)


async def test_checks_of_health_do_not_keep_others_from_being_parsed(server: Server) -> None:
    async with many_connections(server, 3 * MAX_PARTS) as connections:
        last, *probes = connections
        for probe in probes:
            probe.read(LIVE)
        last.read(LISTING)
        assert (await last.answer()).status == 200
        assert server.admission.parsing() > 0
        assert statuses([await probe.answer() for probe in probes]) == [200] * len(probes)


async def test_connections_are_parsed_by_turns(server: Server) -> None:
    """The others have so much to parse, and may send it, that it takes 40 turns and more."""
    parts_of_each = 2 * MAX_PARTS
    chunks = b"64\r\n" + b" " * 100 + b"\r\n"
    chunks *= parts_of_each * MAX_PART_BYTES // len(chunks) + 1
    head = b"DELETE /pets/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n"
    async with many_connections(server, 21) as connections:
        probe, *others = connections
        for other in others:
            other.read(head + chunks)
        probe.read(LIVE)
        assert (await probe.answer()).status == 200
        assert server.admission.parsing() > len(others) / 2
        for other in others:
            other.read(b"0\r\n\r\n")
            assert (await other.answer()).status == 415


class Pipeline:
    """A client that sends one request after the other, as long as the server takes them."""

    def __init__(self, client: socket.socket, request: bytes) -> None:
        self._client = client
        self._requests = request * 1000
        self.sent = 0

    async def send_all(self) -> None:
        """Send until the server takes no more, and then for some more turns."""
        for _ in range(20):
            await asyncio.sleep(0)
            with suppress(BlockingIOError):
                while self.sent < MAX_SENT:
                    self.sent += self._client.send(self._requests)


MAX_SENT = 20_000_000


class TestAClientThatSendsMoreThanItIsAnswered:
    async def test_is_not_read_while_its_request_waits(self, room: Room, server: Server) -> None:
        room.is_free = False
        async with server.accepted() as (_, client):
            pipeline = Pipeline(client, LISTING)
            await pipeline.send_all()
            assert 0 < pipeline.sent < 2_000_000
            assert server.admission.waiting() == 1

    async def test_is_not_read_on_with_each_answer(self, server: Server) -> None:
        """One read holds thousands of requests, so each answer leaves thousands to parse."""
        async with server.accepted() as (_, client):
            pipeline = Pipeline(client, LIVE)
            for _ in range(20):
                await pipeline.send_all()
                client.recv(100)
            assert 0 < pipeline.sent < 2_000_000

    async def test_gets_no_answers_that_it_does_not_take(self, room: Room) -> None:
        repository = InMemoryPetRepository()
        await repository.add([NewPet(name="x" * 100, age=7, type=PetType.DOG)] * 1000)
        async with Server(repository, Capacity(room)).accepted() as (protocol, client):
            pipeline = Pipeline(client, LISTING.replace(b"/pets/", b"/pets/?limit=1000"))
            for _ in range(20):
                await pipeline.send_all()
            assert protocol.flow.write_paused
            assert not protocol.tasks  # No finished answer waits for its turn.
            assert protocol.transport.get_write_buffer_size() < 1_000_000

    async def test_gets_all_answers_that_it_takes(self, server: Server) -> None:
        number = 3_000
        async with server.connection() as connection:
            connection.read(LIVE * number)
            for _ in range(number):
                assert (await connection.answer()).status == 200


def connect(service: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)


@pytest.mark.thorough
async def test_health_answers_in_time_while_the_store_hangs(postgresql_url: str) -> None:
    """Hundreds create pets meanwhile. Some wait for the store, and the others are rejected."""
    with served(postgresql_url) as service, ExitStack() as stack:
        database = await asyncpg.connect(postgresql_url)
        async with database.transaction():
            await database.execute(LOCK)
            clients = [stack.enter_context(connect(service)) for _ in range(1200)]
            for client in clients:
                client.sendall(CREATION + BOY)
            slowest = 0.0
            while not any(has_answer(client) for client in clients[-10:]):
                began = time.monotonic()
                assert service.request("GET", "/health/live").status_code == 200
                slowest = max(slowest, time.monotonic() - began)
        await database.close()
        answers = [client.recv(65536) for client in clients]
        assert slowest < 2  # Other tests may run on this machine, so this is not the 0.1 promised.
        created = sum(answer.startswith(b"HTTP/1.1 201 ") for answer in answers)
        rejected = sum(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
        assert created + rejected == len(clients)
        assert min(created, rejected) > 100
        assert f"Rejected {rejected} requests" in service.wait_for_line("Rejected")


def has_answer(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        client.settimeout(10)


@pytest.mark.thorough
async def test_connections_beyond_the_open_files_wait_until_others_end() -> None:
    """They are neither reset nor starved, and the service stops as usual."""
    with served("memory://", open_files=RESERVED_FILES + 60) as service, ExitStack() as stack:
        clients = [stack.enter_context(connect(service)) for _ in range(100)]
        for client in clients:
            client.sendall(LIVE)
        for client in clients[:11]:
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        waiting = [client for client in clients[11:] if not has_answer(client)]
        assert len(waiting) > 40
        for client in clients:
            if client in waiting:
                assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
            client.close()
        assert service.stop() == 0
