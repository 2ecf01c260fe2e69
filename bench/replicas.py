"""`python -m bench.replicas`: what one, two and three replicas serve, and what they ask of PostgreSQL."""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench import ROWS
from bench.database import execute, fill, main_process
from bench.load import requests_file, wrk
from bench.processes import CORES, Server, cpu_seconds, free_port, leave_first_core, served, settle
from bench.workloads import CREATE, TYPE_AND_LIMIT, Workload
from tests.faults.postgresql import Database, own_server
from tests.faults.replicas import haproxy_for, pgbouncer_for

RESULTS: Final = Path(__file__).with_name("replicas.md")
LOADS: Final = (TYPE_AND_LIMIT, CREATE)
CONNECTIONS: Final = 48
REPLICAS: Final = 3
SECONDS: Final = 2
ROUNDS: Final = 3
NOBODY: Final = 1
"""A port at which nothing listens."""

POOLERS: Final = ("no pooler", "PgBouncer", "PgBouncer, nothing prepared")
WAL: Final = "SELECT pg_current_wal_lsn() - '0/0'"
WITHOUT_PREPARED: Final = """
import asyncpg
connect = asyncpg.connect
asyncpg.connect = lambda *args, **options: connect(*args, **options, statement_cache_size=0)
"""


HEAD: Final = (
    "| replicas | pooler | clients | requests/s | CPU of replicas, µs | CPU of PostgreSQL, µs "
    "| WAL, bytes | failed |"
)


class Setup(NamedTuple):
    replicas: int
    pooler: str
    connections: int = CONNECTIONS


class Cost(NamedTuple):
    """What one load took, a request."""

    rate: float
    replicas_cpu: float
    """Microseconds of all replicas together."""
    postgresql_cpu: float
    wal: float
    """Bytes."""
    failed: float


SETUPS: Final = (
    *(Setup(number, pooler) for pooler, number in product(POOLERS[:2], (1, 2, 3))),
    Setup(3, POOLERS[2]),
    # A third of the clients: what each of three replicas has.
    Setup(1, POOLERS[0], CONNECTIONS // REPLICAS),
)


@contextmanager
def running(setup: Setup, database: Database, folder: Path) -> Iterator[tuple[list[Server], int]]:
    """Give the replicas, and the port of the HAProxy in front of them."""
    core = ("--cpuset-cpus", str(CORES[-1]))
    url = database.url
    variables = {}
    with ExitStack() as stack:
        if setup.pooler != POOLERS[0]:
            port = free_port()
            pooler = pgbouncer_for(database, port, folder, *core)
            url = f"postgresql://pets:pets@127.0.0.1:{port}/pets?search_database=pets_search"
            if setup.pooler == POOLERS[2]:
                file = folder / "pgbouncer.ini"
                text = file.read_text()
                file.write_text(
                    text.replace("max_prepared_statements = 200", "max_prepared_statements = 0")
                )
                (folder / "sitecustomize.py").write_text(WITHOUT_PREPARED)
                variables["PYTHONPATH"] = str(folder)
            stack.callback(pooler.remove)
            pooler.start()
        servers = [
            stack.enter_context(served("pets", url, **variables)) for _ in range(setup.replicas)
        ]
        ports = [server.port for server in servers] + [NOBODY] * REPLICAS
        port = free_port()
        proxy = haproxy_for(ports[:REPLICAS], port, *core)
        stack.callback(proxy.remove)
        proxy.start()
        yield servers, port


def measure(setup: Setup, workload: Workload, database: Database, folder: Path) -> Cost:
    with running(setup, database, folder) as (servers, port):
        front = replace(servers[0], port=port)
        command = wrk(front, requests_file(front, workload), setup.connections, SECONDS)
        subprocess.run(command, capture_output=True, check=True)  # to warm up
        processes = [server.process.pid for server in servers]
        postgresql = main_process(database.admin_url)
        before = sum(map(cpu_seconds, processes)), cpu_seconds(postgresql)
        wal = execute(database.admin_url, WAL)
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for process in processes:
            settle(process)
        after = sum(map(cpu_seconds, processes)), cpu_seconds(postgresql)
        wal = execute(database.admin_url, WAL) - wal
    done = json.loads(output.splitlines()[-1])
    number = max(done["requests"], 1)
    return Cost(
        rate=done["requests"] / done["seconds"],
        replicas_cpu=(after[0] - before[0]) / number * 1e6,
        postgresql_cpu=(after[1] - before[1]) / number * 1e6,
        wal=float(wal) / number,
        failed=(done["refused"] + done["broken"]) / number,
    )


def row(setup: Setup, costs: list[Cost]) -> str:
    rate, replicas, postgresql, wal, failed = (
        median(column) for column in zip(*costs, strict=True)
    )
    return (
        f"| {setup.replicas} | {setup.pooler} | {setup.connections} | {rate:,.0f} "
        f"| {replicas:.0f} | {postgresql:.0f} | {wal:,.0f} | {failed:.1%} |"
    )


def main() -> None:
    leave_first_core()
    costs: dict[tuple[Workload, Setup], list[Cost]] = defaultdict(list)
    with own_server() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        server.stop()
        server.start(fsync="on")
        database = server.new_database()
        migrate = [sys.executable, "-m", "pets", "migrate"]
        environment = os.environ | {"PETS_DATABASE_URL": database.url}
        subprocess.run(migrate, env=environment, check=True)
        for _, workload, setup in product(range(ROUNDS), LOADS, SETUPS):
            fill(database.admin_url, ROWS)
            costs[workload, setup].append(measure(setup, workload, database, folder))
    lines = [
        "# Replicas\n",
        f"`python -m bench.replicas`: {ROWS:,} pets, {ROUNDS} rounds of {SECONDS} seconds; medians.",
        "All replicas share one core. HAProxy, PgBouncer, PostgreSQL and wrk share another one.\n",
    ]
    for workload in LOADS:
        lines += [
            f"## {workload.name}\n",
            HEAD,
            "|--:|---|--:|--:|--:|--:|--:|--:|",
        ]
        lines += [row(setup, costs[workload, setup]) for setup in SETUPS]
        lines.append("")
    text = "\n".join(lines)
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
