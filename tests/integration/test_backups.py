"""Backups that are taken while clients create pets, and restored, as `docs/operation.md` says."""

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import make_url

from pets.cli.main import main
from pets.settings import Settings
from pets.stores import migrate
from tests.integration.conftest import POSTGRESQL_PROGRAMS
from tests.integration.served import Served, served

CLIENTS = 4
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


def test_backup_of_sqlite(
    new_database: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.backup` of the program `sqlite3` does the same as this method."""
    url = new_database("sqlite")
    migrate(Settings(database_url=url))
    file = tmp_path / "copy.db"
    with served(url) as service:
        creations = Creations(service)
        with creations.running():
            early = set(creations.ids)
            with (
                closing(sqlite3.connect(str(make_url(url).database))) as original,
                closing(sqlite3.connect(file)) as copy,
            ):
                original.backup(copy)
    check(f"sqlite+aiosqlite:///{file}", early, monkeypatch)
