"""How the commands start."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, ClassVar

import asyncpg
import httpx
import pytest
from advanced_alchemy.alembic.commands import AlembicCommands
from asyncpg.exceptions import InterfaceError, InternalClientError
from sqlalchemy import make_url

from pets.bootstrap.stores import migrate
from pets.cli import waiting
from pets.cli.main import main
from pets.domain.errors import StoreUnreachable
from pets.settings import Settings
from tests.integration.served import Served, served, start

HUNTER = "postgresql://pets:hunter2@127.0.0.1:{port}/pets"


class Rejection(StreamRequestHandler):
    """A PostgreSQL that takes no connections, and says why as a real one does."""

    reason: ClassVar = b""
    """The SQLSTATE and the message."""

    def handle(self) -> None:
        self.rfile.read(8)  # the request for TLS
        self.wfile.write(b"N")
        self.rfile.read(8)  # the beginning of the startup message
        state, _, message = self.reason.partition(b" ")
        fields = b"SFATAL\0VFATAL\0C" + state + b"\0M" + message + b"\0\0"
        self.wfile.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)


class Forwarding(StreamRequestHandler):
    """A connection to the real PostgreSQL."""

    url: ClassVar = ""

    def handle(self) -> None:
        url = make_url(self.url)
        folder = url.query.get("host")
        if folder:
            database = socket.socket(socket.AF_UNIX)
            database.connect(str(Path(str(folder), f".s.PGSQL.{url.port or 5432}")))
        else:
            database = socket.create_connection((url.host, url.port or 5432))
        with database:
            answers = Thread(target=self.pump, args=(database, self.request))
            answers.start()
            self.pump(self.request, database)
            answers.join()

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class Silence(Forwarding):
    """The same, until a migration waits for its turn. From then on nothing is answered."""

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        is_silent = False
        while data := source.recv(65536):
            is_silent = is_silent or b"pg_advisory_xact_lock" in data
            if not is_silent:
                target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def listening(
    handler: type[StreamRequestHandler], port: int = 0, **attributes: Any
) -> Iterator[int]:
    """Let the handler, with these attributes, handle connections to a port, and return the port."""
    prepared = type("Prepared", (handler,), attributes)
    with Server(("127.0.0.1", port), prepared) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def test_help_does_not_load_the_service() -> None:
    program = (
        "import sys; from pets.cli.main import main; main(['--help']);"
        "print('litestar' in sys.modules, 'sqlalchemy' in sys.modules)"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert printed.startswith("Usage: pets")
    assert printed.endswith("False False\n")


def test_a_host_that_no_name_can_be_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", "memory://")
    assert main(["serve", "--host", "a..b"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "PETS_HOST" in line
    assert "a..b" in line


FEWEST_FILES = 154
"""How many open files a service with one worker needs, as docs/limits.md says."""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("files", "workers"), [(20, 1), (FEWEST_FILES - 1, 1), (FEWEST_FILES + 2, 4)]
)
def test_too_few_open_files_are_one_line_and_exit_status_2(
    files: int, workers: int, tmp_path: Path
) -> None:
    with start(
        *("serve", "--port", "0", "--workers", str(workers)),
        database_url=f"sqlite:///{tmp_path}/pets.db",
        open_files=files,
    ) as process:
        _, printed = process.communicate(timeout=30)
    (line,) = printed.splitlines()
    assert process.returncode == 2
    assert f"the system allows {files} open files" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_the_fewest_open_files_are_enough_to_serve(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/pets.db"
    metrics = str(free_port())
    with served(url, open_files=FEWEST_FILES, PETS_METRICS_PORT=metrics) as service:
        with ThreadPoolExecutor(30) as pool:  # They open all connections of the store.
            answers = list(pool.map(lambda _: service.request("GET", "/pets/?name=a"), range(60)))
        assert {answer.status_code for answer in answers} == {200}
        assert httpx.get(f"http://127.0.0.1:{metrics}/metrics").status_code == 200


def through(port: int, url: str) -> str:
    """Return the URL by which a database is reached through a port of this machine."""
    parts = make_url(url).difference_update_query(["host"]).set(host="127.0.0.1", port=port)
    return parts.render_as_string(hide_password=False)


@pytest.mark.thorough
def test_serves_when_the_database_starts_last(postgresql_url: str) -> None:
    port, database_port = free_port(), free_port()
    url = through(database_port, postgresql_url)
    with start("serve", "--port", str(port), database_url=url) as process:
        service = Served(process, port)
        service.wait_for_line("waiting up to 60 s for the store")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with listening(Forwarding, database_port, url=postgresql_url):
            service.wait_for_line("startup complete")
            assert service.request("GET", "/health/ready").status_code == 200
            assert service.stop() == 0


@pytest.mark.thorough
@pytest.mark.parametrize(
    "reason", [b"57P03 the database system is starting up", b"53300 too many clients already"]
)
def test_says_for_what_it_waits_and_can_be_stopped(reason: bytes) -> None:
    with (
        listening(Rejection, reason=reason) as port,
        start("serve", database_url=HUNTER.format(port=port)) as process,
    ):
        line = Served(process, 0).wait_for_line("waiting up to 60 s for the store")
        assert line.endswith(f"pets:***@127.0.0.1:{port}/pets: {reason[6:].decode()}\n")
        process.terminate()
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid"])
def test_gives_up_after_the_time_that_is_set(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", f"postgresql://pets:hunter2@{host}/pets")
    monkeypatch.setenv("PETS_STARTUP_TIMEOUT", "2")
    began = time.monotonic()
    assert main(["serve"]) == 1
    assert 1 < time.monotonic() - began < 5
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("pets: waiting up to 2 s for the store: cannot use postgresql")
    assert last.startswith("pets: PETS_DATABASE_URL: cannot use postgresql")
    assert "hunter2" not in first


@pytest.mark.parametrize(
    "reason", [b"28P01 password authentication failed", b'3D000 database "pets" does not exist']
)
def test_does_not_wait_for_what_waiting_cannot_help(
    reason: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(Rejection, reason=reason) as port:
        monkeypatch.setenv("PETS_DATABASE_URL", HUNTER.format(port=port))
        assert main(["serve"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(reason[6:].decode())


def test_does_not_wait_for_a_file_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", f"{HUNTER.format(port=1)}?sslmode=verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", "/nowhere/root.crt")
    assert main(["serve"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("No such file or directory")


def test_waits_for_the_socket_of_a_server_that_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", f"postgresql://pets@/pets?host={tmp_path}")
    monkeypatch.setenv("PETS_STARTUP_TIMEOUT", "2")
    assert main(["serve"]) == 1
    assert "waiting up to 2 s" in capsys.readouterr().err


@pytest.mark.thorough
def test_waits_for_another_process_that_migrates(postgresql_url: str) -> None:
    lock = "SELECT pg_advisory_lock(7378697629483820646)"
    with asyncio.Runner() as runner:
        other = runner.run(asyncpg.connect(postgresql_url))
        runner.run(other.execute(lock))
        with start("serve", "--port", "0", database_url=postgresql_url) as process:
            service = Served(process, 0)
            assert "lock timeout" in service.wait_for_line("waiting up to")
            runner.run(other.close())
            service.wait_for_line("startup complete")
            assert service.stop() == 0


@pytest.mark.parametrize("error", [InterfaceError("planted"), InternalClientError("planted")])
def test_waits_after_a_failure_that_left_the_driver_confused(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(AlembicCommands, "upgrade", fail)
    with pytest.raises(StoreUnreachable):
        migrate(Settings(database_url=HUNTER.format(port=1)))


@pytest.mark.thorough
def test_gives_up_if_the_store_stops_to_answer(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "_STATEMENT_SECONDS", 1)
    monkeypatch.setenv("PETS_STARTUP_TIMEOUT", "5")
    with listening(Silence, url=postgresql_url) as port:
        monkeypatch.setenv("PETS_DATABASE_URL", through(port, postgresql_url))
        assert main(["serve"]) == 1
    assert "waiting up to" in capsys.readouterr().err


def test_commands_do_not_wait_for_the_store(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", HUNTER.format(port=1))
    assert main(["migrate"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "waiting" not in line
