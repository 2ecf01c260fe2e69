"""A connection to the real application whose bytes arrive in reads that the test chooses."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
import uvicorn
from uvicorn.server import ServerState

from pets.api.application import Application
from pets.bootstrap import create_app
from pets.bootstrap.service import create_admission
from pets.domain.repository import PetRepository
from pets.serving.admission import ServedProtocol
from pets.serving.queues import Capacity
from pets.telemetry.request_context import Observe, RequestContext

READ_SECONDS: Final = 10

REQUEST_SECONDS: Final = 10
"""How long the server lets a request take."""

UNLIMITED: Final = Capacity()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body, type=dict[str, Any])


def split_answers(received: bytes) -> list[Answer]:
    answers = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name] = value
        length = int(headers.get("content-length", "0"))
        status = int(status_line.split(" ")[1])
        answers.append(Answer(status, headers, received[:length]))
        received = received[length:]
    return answers


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


class Connection:
    """Both ends of a connection: the server's protocol, and the client that reads its answers."""

    def __init__(
        self,
        protocol: ServedProtocol,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._protocol = protocol
        self._reader = reader
        self._writer = writer

    def read(self, *parts: bytes) -> None:
        """Let the server receive these parts, each in one read."""
        for part in parts:
            self._protocol.data_received(part)

    def end(self) -> None:
        """Close the client's side, which can still receive answers."""
        self._writer.write_eof()

    async def lose(self) -> None:
        """Reset the connection, and return when the server knows it."""
        self._protocol.transport.abort()
        await asyncio.sleep(0)

    async def wait_until_blocked(self) -> None:
        """Return when the server can write no more, because the client has not read enough."""
        async with asyncio.timeout(READ_SECONDS):
            while not self._protocol.flow.write_paused:  # noqa: ASYNC110  # It has no event.
                await asyncio.sleep(0.01)

    async def take(self, number: int) -> bytes:
        """Take at most so many bytes of what the server has sent."""
        async with asyncio.timeout(READ_SECONDS):
            return await self._reader.read(number)

    def is_open(self) -> bool:
        """Whether the server has left the connection open, as far as the client has read."""
        return not self._reader.at_eof()

    async def answer(self) -> Answer:
        """Return the next answer, which must have a body."""
        async with asyncio.timeout(READ_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
            (answer,) = split_answers(head)
            body = await self._reader.readexactly(int(answer.headers["content-length"]))
        return Answer(answer.status, answer.headers, body)

    async def interim(self) -> Answer:
        """Return the next answer, which must be one without a body, as 100 is."""
        async with asyncio.timeout(READ_SECONDS):
            (answer,) = split_answers(await self._reader.readuntil(b"\r\n\r\n"))
        return answer

    async def answers(self) -> list[Answer]:
        """Return all answers until the server closes the connection."""
        async with asyncio.timeout(READ_SECONDS):
            return split_answers(await self._reader.read())


class Server:
    """The application and the protocol, connected as in `pets serve`."""

    def __init__(
        self,
        served: PetRepository | Application,
        capacity: Capacity = UNLIMITED,
        *,
        request_seconds: float = REQUEST_SECONDS,
        observers: Sequence[Observe] = (),
    ) -> None:
        app = served if isinstance(served, Application) else create_app(repository=served)
        around = partial(RequestContext, observers=observers) if observers else None
        self.admission = create_admission(app, capacity, request_seconds, around)
        self._config = uvicorn.Config(
            self.admission,
            http=ServedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self._config.load()
        self._state = ServerState()
        self._new_protocol = partial(ServedProtocol, self._config, self._state, {})
        self._state.default_headers = [(b"date", b"Tue, 24 Nov 2026 13:00:00 GMT")]

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """One for each request that the application has begun and not finished."""
        return self._state.tasks

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._state.connections)

    async def sweep(self, *times: float) -> None:
        """Let sweeps come, each so many seconds after the one before."""
        for seconds in times:
            self.admission.sweep.run(seconds)
            for _ in range(10):  # The loop does what is due.
                await asyncio.sleep(0)

    def stop(self) -> None:
        """Tell the connections that the service stops."""
        for connection in [*self._state.connections]:
            connection.shutdown()

    async def wait_for_connections_to_end(self) -> None:
        async with asyncio.timeout(READ_SECONDS):
            while self._state.connections:  # noqa: ASYNC110  # uvicorn has no event for this.
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen on a port of 127.0.0.1 until the end of the block."""
        loop = asyncio.get_running_loop()
        async with await loop.create_server(self._new_protocol, "127.0.0.1", 0) as listener:
            yield listener.sockets[0].getsockname()[1]

    @asynccontextmanager
    async def accepted(self) -> AsyncIterator[tuple[ServedProtocol, socket.socket]]:
        """Accept a connection, and return both ends."""
        loop = asyncio.get_running_loop()
        client_end, server_end = socket.socketpair()
        client_end.settimeout(0)
        server_end.settimeout(0)
        transport, protocol = await loop.connect_accepted_socket(
            self._new_protocol, sock=server_end
        )
        try:
            yield protocol, client_end
        finally:
            client_end.close()
            transport.close()
            async with asyncio.timeout(READ_SECONDS):
                while self._state.tasks:
                    await asyncio.wait(self._state.tasks)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self.accepted() as (protocol, client_end):
            reader, writer = await asyncio.open_connection(sock=client_end, limit=2**20)
            try:
                yield Connection(protocol, reader, writer)
            finally:
                writer.close()

    async def exchange(self, *parts: bytes) -> list[Answer]:
        """Send these parts on a new connection, and return all answers until it is closed."""
        async with self.connection() as connection:
            connection.read(*parts)
            return await connection.answers()
