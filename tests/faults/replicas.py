"""Three replicas of the service, with the HAProxy and the PgBouncer of `deploy/`."""

import asyncio
import math
import secrets
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from tests.faults.findings import READY, Findings
from tests.faults.load import Load
from tests.faults.postgresql import Database
from tests.faults.scenario import STEADY_SECONDS
from tests.faults.service import Service, served

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
REPLICAS: Final = 3
START_SECONDS: Final = 20


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


class Container:
    """A container of an image that is built from `deploy/`, on the network of this machine."""

    def __init__(self, name: str, port: int, *options: str) -> None:
        self._image = f"pets-test-{name}"
        self._name = f"{self._image}-{secrets.token_hex(4)}"
        self._port = port
        self._options = options
        docker("build", "--quiet", "--tag", self._image, str(DEPLOY / name))

    def start(self) -> None:
        """Start it, and return as soon as it listens."""
        options = ["--detach", "--name", self._name, "--network", "host", *self._options]
        docker("run", *options, self._image)
        end = time.monotonic() + START_SECONDS
        while not self._listens():
            assert time.monotonic() < end, docker("logs", self._name)
            time.sleep(0.02)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def restart(self, number: str) -> None:
        """End it by a signal, and start a new one as soon as it has ended."""
        docker("kill", "--signal", number, self._name)
        docker("wait", self._name)
        docker("rm", self._name)
        self.start()

    def remove(self) -> None:
        docker("rm", "--force", self._name)


class Fleet:
    """Everything between the clients and PostgreSQL."""

    def __init__(self, port: int, pgbouncer: Container, replicas: Sequence[Service]) -> None:
        self.port = port
        self.pgbouncer = pgbouncer
        self.replicas = replicas

    async def survives(
        self,
        name: str,
        database: Database,
        fault: Callable[[], Awaitable[None]],
        *,
        failed: float = math.inf,
    ) -> Findings:
        """Break something under load, and return what the record shows.

        At most so many requests may be `failed`, by an answer of 503 or by none.
        """
        findings = Findings(name)
        load = Load(self.port)
        try:
            load.start()
            await asyncio.sleep(STEADY_SECONDS)
            await fault()
            returned = time.monotonic()
            await asyncio.sleep(STEADY_SECONDS)
            await load.finish()
        finally:
            await load.cancel()
        # A proxy without a ready replica has nobody to ask whether it is alive.
        load.record.polls = [poll for poll in load.record.polls if poll.path == READY]
        findings.compare(load.record, await database.rows())
        findings.judge_answers(load.record, unanswered=failed)
        findings.judge_return(load.record, returned)
        number = sum(each.status in {0, 503} for each in load.record.exchanges)
        findings.complain(f"{number} requests failed", when=number > failed)
        return findings


@asynccontextmanager
async def fleet_of(database: Database, folder: Path) -> AsyncIterator[Fleet]:
    """Run HAProxy, three replicas, and PgBouncer in front of the database."""
    async with AsyncExitStack() as stack:
        pooler_port = free_port()
        pgbouncer = pgbouncer_for(database, pooler_port, folder)
        stack.callback(pgbouncer.remove)
        await asyncio.to_thread(pgbouncer.start)
        url = f"postgresql://pets:pets@127.0.0.1:{pooler_port}/pets?search_database=pets_search"
        services = [served(url, workers=1) for _ in range(REPLICAS)]
        replicas = [await stack.enter_async_context(service) for service in services]
        port = free_port()
        haproxy = haproxy_for([replica.port for replica in replicas], port)
        stack.callback(haproxy.remove)
        await asyncio.to_thread(haproxy.start)
        yield Fleet(port, pgbouncer, replicas)


def pgbouncer_for(database: Database, port: int, folder: Path, *options: str) -> Container:
    """Return a PgBouncer whose addresses and names alone are changed. The options are Docker's."""
    text = (DEPLOY / "pgbouncer" / "pgbouncer.ini").read_text()
    text = text.replace("host=db port=5432", f"host=127.0.0.1 port={database.server.port}")
    text = text.replace("dbname=pets ", f"dbname={database.name} ")
    text = text.replace("listen_addr = *", "listen_addr = 127.0.0.1")
    text = text.replace("listen_port = 6432", f"listen_port = {port}")
    file = folder / "pgbouncer.ini"
    file.write_text(text)
    file.chmod(0o644)
    volume = f"{file}:/etc/pgbouncer/pgbouncer.ini:ro"
    return Container("pgbouncer", port, "--env", "PGPASSWORD=pets", "--volume", volume, *options)


def haproxy_for(ports: Sequence[int], port: int, *options: str) -> Container:
    """Return a HAProxy in front of replicas at these three ports. The options are Docker's."""
    variables = ["--env", f"LISTEN=127.0.0.1:{port}"]
    for number, replica in enumerate(ports, start=1):
        variables += ["--env", f"REPLICA_{number}=127.0.0.1:{replica}"]
    return Container("haproxy", port, *variables, *options)
