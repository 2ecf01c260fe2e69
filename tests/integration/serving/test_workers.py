"""The processes of `pets serve`: a parent, and the workers that it keeps at work."""

import asyncio
import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pets.serving.accepting import AcceptingLoop
from pets.serving.timeouts import QUIET_SECONDS, SWEEP_SECONDS
from tests.integration.served import Served, served, start

pytestmark = pytest.mark.thorough

GET = b"GET /pets/?limit=1 HTTP/1.1\r\nhost: pets\r\n\r\n"
READY = b"GET /health/ready HTTP/1.1\r\nhost: pets\r\n\r\n"
BODY = json.dumps({"name": "boy", "age": 7, "type": "dog"}).encode()
POST = (
    b"POST /pets/ HTTP/1.1\r\nhost: pets\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(BODY)
)

# A signal makes a worker sleep in C, where it holds the interpreter's lock.
STUCK_BY_SIGNAL = """
import ctypes, signal
signal.signal(signal.SIGUSR1, lambda *_: ctypes.PyDLL(None).sleep(60))
"""
IMPATIENT = """
import pets.serving.supervisor
pets.serving.supervisor.STUCK_SECONDS = 3
"""


FORK_FAILS = """
import itertools, os
number, fork = itertools.count(1), os.fork

def fail_sometimes():
    if next(number) in {numbers}:
        raise BlockingIOError("no process is left")
    return fork()

os.fork = fail_sometimes
"""
APPLICATION_FAILS = """
import pets.bootstrap.service

def create_app(*_, **__):
    raise LookupError("there is no application")

pets.bootstrap.service.create_app = create_app
"""


def started_with(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each process that starts from now on run this program first."""
    folder.joinpath("sitecustomize.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.fixture
def pair(sqlite_url: str) -> Iterator[Served]:
    """A service with two workers."""
    with served(sqlite_url, workers=2) as service:
        yield service


def connect(service: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), 10)


def ask(connection: socket.socket, request: bytes = GET) -> bytes:
    """Return the answer to a request; it is short enough to come in one piece."""
    connection.sendall(request)
    return connection.recv(65536)


def wait_for_the_end(service: Served) -> str:
    """Return the rest of the log when every process that could write to it has ended."""
    assert service.process.stderr
    return service.process.stderr.read()


class Clients:
    """Clients that keep their connections, as long as the service lets them."""

    def __init__(self, service: Served) -> None:
        self._port = service.port
        self._must_stop = False
        self.under_way = asyncio.Event()
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []

    async def run(self) -> None:
        while not self._must_stop:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            closes = False
            try:
                while not closes and not self._must_stop:
                    closes = await self._ask(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError) as failure:
                self.failures.append(repr(failure))
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Return whether the answer closes the connection."""
        writer.write(GET if sum(self.answers.values()) % 3 else POST + BODY)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = head.lower().split(b"\r\n")
        for field in fields:
            if field.startswith(b"content-length: "):
                await reader.readexactly(int(field[16:]))
        self.answers[int(head[9:12])] += 1
        self.under_way.set()
        await asyncio.sleep(0.01)  # The machine has to do other things too.
        return b"connection: close" in fields

    def stop(self) -> None:
        self._must_stop = True


@asynccontextmanager
async def load(service: Served, number: int = 10) -> AsyncIterator[Clients]:
    clients = Clients(service)
    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(clients.run())
        await clients.under_way.wait()
        yield clients
        clients.stop()


@pytest.mark.anyio
@pytest.mark.parametrize("number", [1, 2])
async def test_sighup_replaces_all_workers_and_fails_no_request(
    sqlite_url: str, number: int
) -> None:
    with served(sqlite_url, workers=number) as service:
        before = service.workers
        async with load(service) as clients:
            service.process.send_signal(signal.SIGHUP)
            for _ in range(number):
                await asyncio.to_thread(service.wait_for_line, "Finished server process")
        assert len(set(service.workers) - set(before)) == number
        assert service.stop() == 0
    assert clients.failures == []
    assert set(clients.answers) == {200, 201}


@pytest.mark.anyio
async def test_sigterm_loses_no_answer_of_a_kept_connection(pair: Served) -> None:
    """Each client is told by its last answer that the connection closes."""
    with pytest.RaisesGroup(ConnectionRefusedError, flatten_subgroups=True):
        async with load(pair, number=1) as clients:
            pair.process.terminate()
            assert await asyncio.to_thread(pair.process.wait, 10) == 0
    assert clients.failures == []
    assert set(clients.answers) == {200, 201}


def test_connections_that_wait_are_accepted_before_the_listener_closes() -> None:
    async def close_while_one_waits() -> list[asyncio.Protocol]:
        opened: list[asyncio.Protocol] = []

        def new_protocol() -> asyncio.Protocol:
            opened.append(asyncio.Protocol())
            return opened[-1]

        loop = asyncio.get_running_loop()
        assert isinstance(loop, AcceptingLoop)
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        acceptor = await loop.create_server(new_protocol, sock=listener, backlog=10)
        with socket.create_connection(address):  # The loop does not turn meanwhile.
            acceptor.close()
            await acceptor.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        return opened

    with asyncio.Runner(loop_factory=AcceptingLoop) as runner:
        assert len(runner.run(close_while_one_waits())) == 1


def test_readiness_is_503_on_a_kept_connection_after_sigterm(pair: Served) -> None:
    with connect(pair) as connection:
        assert ask(connection).startswith(b"HTTP/1.1 200 ")
        pair.process.terminate()
        pair.wait_for_line("Waiting for connections to close")
        answer = ask(connection, READY)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close\r\n" in answer
        assert connection.recv(1) == b""
    assert pair.process.wait(10) == 0


def test_an_idle_connection_is_closed_soon_after_sigterm(pair: Served) -> None:
    with connect(pair) as connection:
        ask(connection)
        began = time.monotonic()
        pair.process.terminate()
        assert connection.recv(1) == b""
        assert time.monotonic() - began < QUIET_SECONDS + 3 * SWEEP_SECONDS
    assert pair.process.wait(10) == 0


def test_sigterm_ends_a_replacement_of_the_workers(pair: Served) -> None:
    with connect(pair) as connection:
        ask(connection)  # So one worker cannot leave at once.
        pair.process.send_signal(signal.SIGHUP)
        pair.wait_for_line("startup complete")
        assert pair.stop() == 0
    assert "Traceback" not in wait_for_the_end(pair)


def test_a_killed_worker_costs_only_its_own_connections(pair: Served) -> None:
    victim, _ = pair.workers
    os.kill(victim, signal.SIGSTOP)  # So the other worker accepts the connection.
    with connect(pair) as connection:
        assert ask(connection).startswith(b"HTTP/1.1 200 ")
        os.kill(victim, signal.SIGKILL)
        pair.wait_for_line("startup complete")
        assert ask(connection).startswith(b"HTTP/1.1 200 ")
    assert len(pair.workers) == 2
    assert victim not in pair.workers


def test_a_worker_that_cannot_be_started_is_started_later(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_with(FORK_FAILS.format(numbers=[2, 3]), tmp_path, monkeypatch)
    with served(sqlite_url) as service:
        assert service.request("GET", "/health/live").status_code == 200  # It has started.
        files = Path(f"/proc/{service.process.pid}/fd")
        before = len(list(files.iterdir()))
        os.kill(service.workers[0], signal.SIGKILL)
        service.wait_for_line("Cannot start a worker: no process is left")
        service.wait_for_line("Cannot start a worker: no process is left")
        service.wait_for_line("startup complete")
        assert service.request("GET", "/health/ready").status_code == 200
        assert len(list(files.iterdir())) == before


def test_a_service_whose_workers_cannot_start_fails(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_with(APPLICATION_FAILS, tmp_path, monkeypatch)
    with start("serve", "--port", "0", "--workers", "2", database_url=sqlite_url) as process:
        _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "LookupError: there is no application" in log
    assert log.endswith("\npets: no worker could start; the lines above say why\n")


def test_workers_without_their_parent_finish_and_free_the_port(pair: Served) -> None:
    with connect(pair) as connection:
        connection.sendall(POST)
        assert pair.request("GET", "/health/live").status_code == 200
        pair.stop(signal.SIGKILL)
        pair.wait_for_line("Waiting for connections to close")
        assert ask(connection, BODY).startswith(b"HTTP/1.1 201 ")
    wait_for_the_end(pair)
    socket.create_server(("127.0.0.1", pair.port)).close()


def test_a_stuck_worker_shows_its_stacks_and_is_replaced(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_with(STUCK_BY_SIGNAL, tmp_path, monkeypatch)
    with served(sqlite_url) as service:
        (stuck,) = service.workers
        assert service.request("GET", "/health/live").status_code == 200  # It has started.
        began = time.monotonic()
        os.kill(stuck, signal.SIGUSR1)
        service.wait_for_line(f"Worker {stuck} is stuck")
        service.wait_for_line("sitecustomize.py")
        service.wait_for_line("startup complete")
        assert time.monotonic() - began < 10
        assert service.request("GET", "/health/ready").status_code == 200
        assert service.workers != [stuck]


def test_a_stuck_worker_is_killed_in_time_beside_one_that_cannot_start(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = STUCK_BY_SIGNAL + FORK_FAILS.format(numbers=range(3, 1000))
    started_with(program, tmp_path, monkeypatch)
    with served(sqlite_url, workers=2) as service:
        stuck, other = service.workers
        os.kill(other, signal.SIGSTOP)  # So the first worker answers, which has then started.
        assert service.request("GET", "/health/live").status_code == 200
        began = time.monotonic()
        os.kill(stuck, signal.SIGUSR1)
        os.kill(other, signal.SIGKILL)
        service.wait_for_line(f"Worker {stuck} is stuck")
        assert time.monotonic() - began < 9


def test_a_service_that_is_stopped_and_continued_keeps_its_workers(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the machine sleeps, or `docker pause` stops the container."""
    started_with(IMPATIENT, tmp_path, monkeypatch)
    with served(sqlite_url, workers=2) as service:
        before = service.workers
        processes = [service.process.pid, *before]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        time.sleep(5)  # Longer than a worker may be stuck.
        for process in processes:
            os.kill(process, signal.SIGCONT)
        time.sleep(1)  # The parent looks ten times.
        assert service.workers == before
        assert service.request("GET", "/health/ready").status_code == 200
