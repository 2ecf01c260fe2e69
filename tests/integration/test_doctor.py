"""The command `pets doctor`, on setups that work and on broken ones."""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import asyncpg
import pytest
from sqlalchemy import make_url

from pets.adapters.sqlalchemy import postgresql_session
from pets.bootstrap.stores import migrate
from pets.cli import doctor
from pets.cli.main import main
from pets.settings import Settings
from tests.integration.conftest import execute, fetch
from tests.integration.test_check_counts import ADD, add_uncounted
from tests.integration.test_startup import HUNTER, Rejection, listening


@contextmanager
def transaction(url: str, statement: str) -> Iterator[None]:
    """Keep a transaction open that begins with this statement."""
    ready, done = Event(), Event()

    async def hold() -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await connection.execute(statement)
            ready.set()
            await asyncio.to_thread(done.wait)
        await connection.close()

    with ThreadPoolExecutor() as pool:
        holding = pool.submit(asyncio.run, hold())
        assert ready.wait(10)
        try:
            yield
        finally:
            done.set()
        holding.result()


LOCK = "LOCK TABLE pets"
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pets"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def url(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database without tables, which the command examines."""
    monkeypatch.setenv("PETS_DATABASE_URL", empty_database_url)
    return empty_database_url


def test_a_good_setup_is_described(url: str, capsys: Capture) -> None:
    migrate(Settings(database_url=url))
    assert main(["doctor"]) == 0
    printed = capsys.readouterr()
    told = dict(line.split(maxsplit=1) for line in printed.out.splitlines())
    assert told["PETS_PORT"].strip() == "3000"
    assert told["store"].startswith(("PostgreSQL 18", "PostgreSQL 1", "SQLite 3"))
    assert told["schema"] == "migrated"
    assert told["counts"] == "right"
    assert printed.err == ""


def test_a_transaction_that_slows_down_listings_is_named(
    used_postgresql: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL keeps each old version of the counts that the transaction can see."""
    monkeypatch.setattr(doctor, "MANY_OLD_VERSIONS", 10)

    with transaction(used_postgresql, SNAPSHOT):
        execute(used_postgresql, *[ADD] * 20)
        assert main(["doctor"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("old versions of counts ")
    ((user,),) = fetch(used_postgresql, "SELECT current_user")
    assert re.search(rf": process \d+ of {user}, idle in transaction, for \d+ s", line)


def test_a_store_in_memory_has_nothing_to_examine(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", "memory://")
    assert main(["doctor"]) == 0
    assert "store" not in capsys.readouterr().out


def test_a_file_of_keys_that_is_broken_is_wrong(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", "memory://")
    monkeypatch.setenv("PETS_API_KEYS_FILE", str(tmp_path / "missing"))
    assert main(["doctor"]) == 2  # as it would be for `pets serve`
    assert "PETS_API_KEYS_FILE" in capsys.readouterr().err


def complaint(capsys: Capture) -> str:
    """Let the command fail, and return why."""
    assert main(["doctor"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_store_that_is_not_migrated_is_wrong(url: str, capsys: Capture) -> None:
    if url.startswith("sqlite"):
        Path(str(make_url(url).database)).touch()
    assert "`pets migrate`" in complaint(capsys)


def test_wrong_counts_are_named(url: str, capsys: Capture) -> None:
    migrate(Settings(database_url=url))
    add_uncounted(url)
    assert "dog, age 1: kept 0, found 1" in complaint(capsys)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://pets:hunter2@127.0.0.1:{}/pets", "pets:***@127.0.0.1:{}/pets"),
        ("postgresql://127.0.0.1:{}/pets?password=hunter2", "127.0.0.1:{}/pets?password=hidden"),
    ],
)
def test_a_server_that_cannot_be_reached_is_wrong_and_its_password_is_hidden(
    url: str, masked: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("PETS_DATABASE_URL", url.format(port))
    assert main(["doctor"]) == 1
    printed = capsys.readouterr()
    assert f"postgresql+asyncpg://{masked.format(port)}" in printed.out
    assert "Connect call failed" in printed.err  # and not only that it cannot be reached
    assert "hunter2" not in printed.out + printed.err


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("28P01 password authentication failed", "The database refused the user or the password"),
        ('3D000 database "pets" does not exist', "There is no such database"),
        ("42501 permission denied for database", "The database user lacks a right"),
        ("53300 sorry, too many clients already", "The database takes no more connections"),
        ("57P03 the database system is starting up", "The database is starting or stopping"),
        ("08P01 unsupported startup parameter: jit", "The database refused the connection"),
        ("22023 invalid value for parameter", "The store refused this (SQLSTATE 22023)"),
    ],
)
def test_a_server_that_answers_is_not_called_unreachable(
    said: str, message: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(Rejection, reason=said.encode()) as port:
        monkeypatch.setenv("PETS_DATABASE_URL", HUNTER.format(port=port))
        assert complaint(capsys) == f"pets: PETS_DATABASE_URL: {message}: {said[6:]}"


def test_a_server_that_is_too_old_is_wrong(
    used_postgresql: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    del used_postgresql
    monkeypatch.setattr(postgresql_session, "OLDEST_SERVER", 99)
    assert "PostgreSQL 99 or newer is needed; this is 1" in complaint(capsys)


def test_a_sqlite_file_that_does_not_exist_is_not_created(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pets.db"
    monkeypatch.setenv("PETS_DATABASE_URL", f"sqlite+aiosqlite:///{file}")
    assert "PETS_DATABASE_URL" in complaint(capsys)
    assert not file.exists()


def test_a_store_that_does_not_answer_is_wrong(
    used_postgresql: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "MAX_SECONDS", 1)
    with transaction(used_postgresql, LOCK):
        assert complaint(capsys) == "pets: the store did not answer within 1 seconds"


def test_another_encoding_is_wrong(
    new_database: Callable[[str], str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(new_database("postgresql"))
    name = f"{url.database}_latin"
    execute(
        url.render_as_string(hide_password=False),
        f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    )
    latin = url.set(database=name).render_as_string(hide_password=False)
    monkeypatch.setenv("PETS_DATABASE_URL", latin)
    assert complaint(capsys) == "pets: the database must be in UTF-8"


@pytest.mark.parametrize("ahead", [-6, 6])
def test_clocks_that_differ_are_wrong(
    used_postgresql: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """The clock of this machine is the one that can be changed here."""
    del used_postgresql
    now = time.time()
    monkeypatch.setattr(doctor, "time", lambda: now - ahead)
    assert "clocks" in complaint(capsys)
