"""Backups that are taken while clients create pets, and restored, as `docs/operation.md` says."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import pytest

from pets.adapters.sqlalchemy.models import VERSION_TABLE
from pets.bootstrap.stores import migrate
from pets.cli.main import main
from pets.settings import Settings
from tests.integration.conftest import POSTGRESQL_PROGRAMS
from tests.integration.served import Served, served

CLIENTS = 4
LINE = b'{"name":"boy","age":7,"type":"dog"}\n'
BOY = {"name": "boy", "age": 7, "type": "dog"}


class Creations:
    """Clients that create pets without a pause, and remember the ids."""

    def __init__(self, service: Served) -> None:
        self._service = service
        self._stop = Event()
        self.has_begun = Event()
        self.ids: list[int] = []

    def create(self) -> None:
        while not self._stop.is_set():
            answer = self._service.request("POST", "/pets/", json=BOY)
            assert answer.status_code == 201
            self.ids.append(answer.json()["id"])
            if len(self.ids) >= 10 * CLIENTS:
                self.has_begun.set()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self.create) for _ in range(CLIENTS)]
            assert self.has_begun.wait(30)
            try:
                yield
            finally:
                self._stop.set()
            for client in clients:
                client.result()


def check(url: str, early: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy has all pets that were acknowledged before, is sound, and gives new ids."""
    monkeypatch.setenv("PETS_DATABASE_URL", url)
    assert main(["doctor"]) == 0
    with served(url) as copy:
        kept = all_ids(copy)
        new = copy.request("POST", "/pets/", json=BOY).json()["id"]
    assert early <= kept
    assert new > max(kept)


def all_ids(service: Served) -> set[int]:
    ids: set[int] = set()
    path = "/pets/?limit=1000"
    while path:
        answer = service.request("GET", path)
        ids.update(pet["id"] for pet in answer.json()["items"])
        path = answer.links.get("next", {}).get("url", "")
    return ids


@pytest.mark.thorough
def test_pg_dump_and_pg_restore(
    new_database: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, copy = new_database("postgresql"), new_database("postgresql")
    migrate(Settings(database_url=url))
    dump = tmp_path / "pets.dump"
    with served(url) as service:
        creations = Creations(service)
        with creations.running():
            early = set(creations.ids)
            program = POSTGRESQL_PROGRAMS / "pg_dump"
            subprocess.run([program, "--format=custom", f"--file={dump}", url], check=True)
    program = POSTGRESQL_PROGRAMS / "pg_restore"
    subprocess.run([program, "--exit-on-error", f"--dbname={copy}", dump], check=True)
    check(copy, early, monkeypatch)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a migrated SQLite store that the commands use, alone in its folder."""
    path = tmp_path / "store" / "pets.db"
    path.parent.mkdir()
    monkeypatch.setenv("PETS_DATABASE_URL", url_of(path))
    migrate(Settings(database_url=url_of(path)))
    return path


def url_of(store: Path) -> str:
    return f"sqlite+aiosqlite:///{store}"


def add(store: Path, *names: str) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        for name in names:
            connection.execute(
                "INSERT INTO pets (name, age, type, created_at)"
                " VALUES (?, 7, 'dog', '2021-05-18 19:10:17')",
                (name,),
            )


def names(store: Path) -> list[str]:
    with closing(sqlite3.connect(store)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM pets ORDER BY id")]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.thorough
def test_a_backup_of_sqlite_beside_a_service_that_writes(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, has all that was acknowledged before, and is a single file."""
    backup = tmp_path / "backup" / "pets.db"
    backup.parent.mkdir()
    with served(url_of(store)) as service:
        creations = Creations(service)
        with creations.running():
            early = set(creations.ids)
            assert main(["backup", str(backup)]) == 0
    assert files(backup.parent) == ["pets.db"]
    add(store, "a later one")
    assert main(["restore", str(backup)]) == 0
    assert "a later one" not in names(store)
    check(url_of(store), early, monkeypatch)


@pytest.mark.thorough
def test_a_backup_keeps_the_keys_of_idempotency(store: Path, tmp_path: Path) -> None:
    backup = str(tmp_path / "backup.db")
    key = {"idempotency-key": "once"}
    with served(url_of(store)) as service:
        first = service.request("POST", "/pets/", json=BOY, headers=key)
    assert main(["backup", backup]) == main(["restore", backup]) == 0
    with served(url_of(store)) as service:
        again = service.request("POST", "/pets/", json=BOY, headers=key)
    assert again.json() == first.json()


@pytest.mark.thorough
def test_a_restore_leaves_nothing_of_the_former_store(store: Path, tmp_path: Path) -> None:
    """The newest pets are only in `-wal`, as a service that was killed leaves them."""
    backup = tmp_path / "backup.db"
    add(store, "kept")
    assert main(["backup", str(backup)]) == 0
    with served(url_of(store)) as service:
        service.request("POST", "/pets/", json=BOY)
        service.kill()
    assert "pets.db-wal" in files(store.parent)
    assert main(["restore", str(backup)]) == 0
    assert files(store.parent) == ["pets.db"]
    assert names(store) == ["kept"]


def test_a_lost_store_is_restored(store: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    add(store, "kept")
    assert main(["backup", str(backup)]) == 0
    store.unlink()
    (store.parent / "pets.db-wal").write_bytes(b"the rest of it")
    assert main(["restore", str(backup)]) == 0
    assert names(store) == ["kept"]


def test_a_damaged_store_is_replaced(store: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    add(store, "kept")
    assert main(["backup", str(backup)]) == 0
    store.write_bytes(b"damaged" * 1000)
    assert main(["restore", str(backup)]) == 0
    assert names(store) == ["kept"]


@pytest.mark.thorough
def test_a_restore_beside_a_service_that_is_idle_is_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service has no connection yet, so SQLite itself has no lock."""
    backup = tmp_path / "backup.db"
    assert main(["backup", str(backup)]) == 0
    add(store, "newer")
    with served(url_of(store)) as service:
        assert main(["restore", str(backup)]) == 1
        assert f"{store} is in use. Stop the service first" in capsys.readouterr().err
        assert service.request("GET", "/pets/").json()["count"] == 1


def test_a_restore_beside_an_open_connection_is_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup.db"
    assert main(["backup", str(backup)]) == 0
    with closing(sqlite3.connect(store)) as other:
        other.execute("SELECT count(*) FROM pets").fetchall()
        assert main(["restore", str(backup)]) == 1
    assert "is in use" in capsys.readouterr().err
    assert main(["restore", str(backup)]) == 0


def damage(backup: Path) -> None:
    """Change what an index says, which SQLite itself would not notice."""
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'pets_by_age'")


def come_from_the_future(backup: Path) -> None:
    with closing(sqlite3.connect(backup, isolation_level=None)) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = 'pets_9999'")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "There is no file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(LINE), "is not a SQLite database"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4096]), "malformed"),
        (damage, "is damaged"),
        (come_from_the_future, "another version made this database (revision pets_9999)"),
    ],
)
def test_what_is_no_whole_backup_leaves_the_store_as_it_was(
    store: Path,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup = tmp_path / "backup.db"
    add(store, "kept")
    assert main(["backup", str(backup)]) == 0
    spoil(backup)
    assert main(["restore", str(backup)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert names(store) == ["kept"]
    assert files(store.parent) == ["pets.db"]


@pytest.mark.thorough
def test_a_backup_that_is_killed_leaves_the_former_one(store: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    add(store, "kept")
    assert main(["backup", str(backup)]) == 0
    before = backup.read_bytes()
    add(store, *map(str, range(1000)))
    program = f"""
import os, sys
import pets.adapters.sqlalchemy.sqlite_backup as backup
backup._PAGES = 1
backup._let_signals_in = lambda *_: os.kill(os.getpid(), 9)
from pets.cli.main import main
main(["backup", {str(backup)!r}])
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert backup.read_bytes() == before


@pytest.mark.thorough
def test_a_restore_that_is_killed_leaves_a_whole_store(store: Path, tmp_path: Path) -> None:
    """It is killed in the last moment before the copy takes the place of the store."""
    backup = tmp_path / "backup.db"
    add(store, "old")
    assert main(["backup", str(backup)]) == 0
    with served(url_of(store)) as service:
        service.request("POST", "/pets/", json=BOY)
        service.kill()
    program = f"""
import os, pathlib
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)
from pets.cli.main import main
main(["restore", {str(backup)!r}])
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert names(store) == ["old", "boy"]


def test_a_file_in_use_is_no_target_of_a_backup(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite would take the `-wal` beside it for a part of the copy."""
    target = tmp_path / "other.db"
    with closing(sqlite3.connect(target)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE t (a)")
        assert main(["backup", str(target)]) == 1
    assert "may be in use" in capsys.readouterr().err
    assert store.exists()


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_copy_is_no_stream(
    command: str, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(store.parent)
    before = files(store.parent)
    assert main([command, "-"]) == 1
    assert capsys.readouterr().err == "pets: -: SQLite needs a file, and no stream\n"
    assert files(store.parent) == before


@pytest.mark.parametrize("command", ["backup", "restore"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [("postgresql://127.0.0.1/pets", "use pg_dump and pg_restore"), ("memory://", "is empty")],
)
def test_only_sqlite_has_backups(
    command: str, url: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETS_DATABASE_URL", url)
        assert main([command, "nowhere.db"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
