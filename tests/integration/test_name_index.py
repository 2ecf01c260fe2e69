"""The command `pets index-names`, over the official image of PostgreSQL, which has pg_trgm."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from asyncpg.exceptions import PostgresError

from pets.bootstrap.stores import migrate, open_store
from pets.cli.main import main
from pets.domain.pet import NewPet, PetType
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage
from pets.settings import Settings
from tests.integration.conftest import execute, fetch
from tests.integration.docker import needs_docker
from tests.plans import explain, scans

NAMES = ["Straße", "STRASSE", "ΣΊΣΥΦΟΣ", "a%b", "a_b", "小白白", "Bo", "Zoë"]
PARTS = ["strasse", "σίσυφος", "%", "a_b", "小白白", "bo", "zoë", "no such name"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    options = ["--detach", "--rm", "--publish", "127.0.0.1::5432"]
    trust = ["--env", "POSTGRES_HOST_AUTH_METHOD=trust"]
    container = _docker("run", *options, *trust, "postgres:18")
    try:
        address = _docker("port", container, "5432/tcp").splitlines()[0]
        url = f"postgresql://postgres@{address}/postgres"
        asyncio.run(_wait_until_ready(url))
        yield url
    finally:
        _docker("stop", "--time", "0", container)


def _docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


async def _wait_until_ready(url: str) -> None:
    """Wait for the server that stays. The image starts one first that cannot be reached."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            connection = await asyncpg.connect(url)
        except (OSError, PostgresError):
            await asyncio.sleep(0.1)
        else:
            await connection.close()
            return
    raise AssertionError("PostgreSQL does not start")


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store with 10,000 pets, which the command uses."""
    execute(server, "CREATE DATABASE pets")
    url = server.removesuffix("postgres") + "pets"
    monkeypatch.setenv("PETS_DATABASE_URL", url)
    migrate(Settings(database_url=url))
    asyncio.run(_fill(url))
    yield url
    execute(server, "DROP DATABASE pets WITH (FORCE)")


async def _fill(url: str) -> None:
    pets = [NewPet(name=name, age=7, type=PetType.DOG) for name in NAMES]
    pets += [NewPet(name=f"Rex {number}", age=7, type=PetType.DOG) for number in range(10_000)]
    async with open_store(Settings(database_url=url)) as store:
        await store.add(pets)


async def _answers(url: str) -> list[PetPage]:
    async with open_store(Settings(database_url=url)) as store:
        return list(await store.pages([PetQuery(name=part) for part in PARTS]))


def scans_of_a_search(url: str, part: str) -> set[str]:
    return set(scans(asyncio.run(explain(url, PetQuery(name=part)))))


INDEX = {"Bitmap Index Scan pets_by_part_of_name", "Bitmap Heap Scan pets"}


@needs_docker
@pytest.mark.thorough
def test_searches_use_the_index_and_find_the_same(url: str) -> None:
    before = asyncio.run(_answers(url))
    assert scans_of_a_search(url, "strasse") == {"Seq Scan pets"}
    assert main(["index-names"]) == 0
    assert scans_of_a_search(url, "strasse") == INDEX
    assert asyncio.run(_answers(url)) == before
    assert [page.count for page in before] == [2, 1, 1, 1, 1, 1, 1, 0]


@needs_docker
@pytest.mark.thorough
def test_a_search_for_letters_that_are_everywhere_reads_the_table(url: str) -> None:
    assert main(["index-names"]) == 0
    assert scans_of_a_search(url, "rex") == {"Seq Scan pets"}


@needs_docker
@pytest.mark.thorough
def test_drop_removes_the_index_if_there_is_one(url: str) -> None:
    assert main(["index-names"]) == 0
    for _ in range(2):
        assert main(["index-names", "--drop"]) == 0
        assert scans_of_a_search(url, "strasse") == {"Seq Scan pets"}


@needs_docker
@pytest.mark.thorough
def test_doctor_finds_a_broken_index_which_is_made_anew(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index-names"]) == 0
    valid = "indexrelid = 'pets_by_part_of_name'::regclass"
    execute(url, f"UPDATE pg_index SET indisvalid = false WHERE {valid}")
    assert main(["doctor"]) == 1
    assert "the index of names is broken" in capsys.readouterr().err
    assert main(["index-names"]) == 0
    assert main(["doctor"]) == 0
    assert "index of names         made" in capsys.readouterr().out
    assert scans_of_a_search(url, "strasse") == INDEX


@needs_docker
@pytest.mark.thorough
def test_a_role_that_does_not_own_the_tables_is_told(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(url, "CREATE ROLE guest LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
    monkeypatch.setenv("PETS_DATABASE_URL", url.replace("postgres@", "guest@"))
    try:
        for command in (["index-names"], ["index-names", "--drop"]):
            assert main(command) == (1 if command == ["index-names"] else 0)
        assert "Only the owner of the tables" in capsys.readouterr().err
        assert not fetch(url, "SELECT 1 FROM pg_class WHERE relname = 'pets_by_part_of_name'")
    finally:
        execute(url, "DROP OWNED BY guest", "DROP ROLE guest")


def test_sqlite_has_no_such_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'pets.db'}")
    assert main(["index-names"]) == 2
    assert "only PostgreSQL" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
