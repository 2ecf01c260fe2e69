"""How the commands start."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, ClassVar

import pytest
from sqlalchemy import make_url

from pets.cli.main import main
from tests.integration.served import Served, start

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
            answers = Thread(target=pump, args=(database, self.request))
            answers.start()
            pump(self.request, database)
            answers.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65536):
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


def test_serves_when_the_database_starts_last(postgresql_url: str) -> None:
    port, database_port = free_port(), free_port()
    parts = make_url(postgresql_url)
    through = parts.difference_update_query(["host"]).set(host="127.0.0.1", port=database_port)
    url = through.render_as_string(hide_password=False)
    with start("serve", "--port", str(port), database_url=url) as process:
        service = Served(process, port)
        service.wait_for_line("waiting up to 60 s for the store")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with listening(Forwarding, database_port, url=postgresql_url):
            service.wait_for_line("startup complete")
            assert service.request("GET", "/health/ready").status_code == 200
            assert service.stop() == 0


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
    waiting, last = capsys.readouterr().err.splitlines()
    assert waiting.startswith("pets: waiting up to 2 s for the store: cannot use postgresql")
    assert last.startswith("pets: PETS_DATABASE_URL: cannot use postgresql")
    assert "hunter2" not in waiting


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


def test_commands_do_not_wait_for_the_store(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", HUNTER.format(port=1))
    assert main(["migrate"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "waiting" not in line
