"""A service whose SQLite file is moved, deleted or replaced while it runs."""

import asyncio
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from litestar.testing import TestClient

from pets.adapters.sqlalchemy import sqlite_file, sqlite_session
from pets.adapters.sqlalchemy.sqlite_file import StoreFile
from pets.bootstrap import create_app
from pets.bootstrap.stores import migrate
from pets.settings import Settings
from tests.integration.served import Served, served

BOY = {"name": "boy", "age": 7, "type": "dog"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "pets.db"
    migrate(Settings(database_url=url_of(path)))
    return path


def url_of(store: Path) -> str:
    return f"sqlite+aiosqlite:///{store}"


@pytest.fixture
def service(store: Path) -> Iterator[Served]:
    with served(url_of(store), workers=2) as service:
        assert service.request("POST", "/pets/", json=BOY).status_code == 201
        yield service


def replace_by_another(store: Path) -> None:
    away(store)
    other = store.with_name("other.db")
    migrate(Settings(database_url=url_of(other)))
    other.rename(store)


def replace_by_its_copy(store: Path) -> None:
    shutil.copyfile(store, store.with_name("copy.db"))
    store.with_name("copy.db").replace(store)


def away(store: Path) -> None:
    store.rename(store.with_name("moved.db"))


@pytest.mark.thorough
@pytest.mark.parametrize("lose", [away, Path.unlink, replace_by_another, replace_by_its_copy])
def test_a_service_without_its_file_serves_nothing(
    lose: Callable[[Path], object], store: Path, service: Served
) -> None:
    """Neither old nor new connections, and neither old nor new workers, take another file."""
    lose(store)
    before = store.exists()
    for number in range(8):
        ready = service.request("GET", "/health/ready")
        assert ready.status_code == 503
        assert "moved, deleted or replaced" in ready.json()["detail"]
        assert service.request("POST", "/pets/", json=BOY).status_code == 503
        assert service.request("GET", "/pets/").status_code == 503
        if number == 3:
            os.kill(service.workers[0], signal.SIGKILL)
            service.wait_for_line("startup complete")
    assert store.exists() == before
    if before:
        with closing(sqlite3.connect(store)) as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM pets")
        assert count <= 1


@pytest.mark.thorough
def test_a_service_goes_on_when_its_file_is_back(store: Path, service: Served) -> None:
    away(store)
    # An answer of /health/ready would be given again for a second.
    assert service.request("GET", "/pets/").status_code == 503
    store.with_name("moved.db").rename(store)
    for _ in range(4):
        assert service.request("GET", "/health/ready").status_code == 200
        assert service.request("POST", "/pets/", json=BOY).status_code == 201
    assert service.request("GET", "/pets/").json()["count"] == 5


def test_a_reader_keeps_the_log_of_changes_only_while_it_reads(store: Path) -> None:
    wal = store.with_name("pets.db-wal")
    file = StoreFile(store)
    with closing(sqlite3.connect(store, isolation_level=None)) as writer:
        with closing(sqlite3.connect(store, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM pets").fetchall()
            writer.execute("INSERT INTO pet_counts VALUES (1, 'dog', 1)")
            assert not sqlite_session.empty_wal(file, 0)
            assert wal.stat().st_size > 0
        assert sqlite_session.empty_wal(file, 0)
        assert wal.stat().st_size == 0


@pytest.mark.anyio
async def test_a_long_log_of_changes_is_emptied_although_readers_overlap(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers wait until the readers have ended. Readers that begin meanwhile do not count."""
    monkeypatch.setattr(sqlite_session, "MAX_WAL_BYTES", 0)
    waits = threading.Event()

    def empty(file: StoreFile, seconds: float) -> bool:
        waits.set()
        return empty_wal(file, seconds)

    empty_wal = sqlite_session.empty_wal
    monkeypatch.setattr(sqlite_session, "empty_wal", empty)
    first, second, writer = (
        sqlite3.connect(store, isolation_level=None, check_same_thread=False) for _ in range(3)
    )
    with closing(first), closing(second), closing(writer):
        first.execute("BEGIN")
        first.execute("SELECT count(*) FROM pets").fetchall()
        writer.execute("INSERT INTO pet_counts VALUES (1, 'dog', 1)")
        task = asyncio.create_task(sqlite_session.keep_wal_small(StoreFile(store)))
        await asyncio.to_thread(waits.wait)
        second.execute("BEGIN")
        second.execute("SELECT count(*) FROM pets").fetchall()
        first.rollback()
        wal = store.with_name("pets.db-wal")
        async with asyncio.timeout(10):
            while wal.stat().st_size:
                second.rollback()
                second.execute("BEGIN")
                second.execute("SELECT count(*) FROM pets").fetchall()
                await asyncio.sleep(0.01)
        task.cancel()


@pytest.mark.thorough
def test_nothing_is_written_to_a_disk_that_is_nearly_full(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the disk is for emptying `-wal`. Otherwise it would stay full for ever."""
    monkeypatch.setattr(sqlite_file, "SPARE_BYTES", 2**62)
    with TestClient(create_app(Settings(database_url=url_of(store)))) as client:
        refused = client.post("/pets/", json=BOY)
        assert refused.status_code == 503
        assert refused.json()["detail"].startswith("The store cannot write to its disk.")
        assert client.get("/pets/").json()["count"] == 0
