"""The command `pets check-counts` finds and repairs wrong counts, over both databases."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from pets.adapters.sqlalchemy.checks import check_counts, repair_counts
from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.bootstrap.stores import migrate
from pets.cli.main import main
from pets.settings import Settings
from tests.factories import NewPetFactory
from tests.integration.conftest import POSTGRESQL_PROGRAMS, execute, fetch

ADD = """
    INSERT INTO pets (name, age, type, created_at)
    VALUES ('x', 1, 'dog', '2021-05-18 19:10:17'), ('x', 9, 'cat', '2021-05-18 19:10:17')
"""
WRONG = [
    "cat, all ages: kept 1, found 2",
    "dog, all ages: kept 1, found 2",
    "dog, age 1: kept 1, found 2",
    "cat, age 9: kept 1, found 2",
]
FIND_TRIGGER = "SELECT sql FROM sqlite_master WHERE name = 'keep_counts_on_insert'"


def add_uncounted(url: str) -> None:
    """Add pets while the triggers are switched off."""
    if url.startswith("postgresql"):
        switches = [f"ALTER TABLE pets {action} TRIGGER USER" for action in ("DISABLE", "ENABLE")]
        execute(url, switches[0], ADD, switches[1])
        return
    with closing(sqlite3.connect(str(make_url(url).database))) as connection:
        (trigger,) = connection.execute(FIND_TRIGGER).fetchone()
        connection.execute("DROP TRIGGER keep_counts_on_insert")
        connection.execute(ADD)
        connection.execute(trigger)
        connection.commit()


async def add(url: str) -> None:
    engine = create_config(parse_url(url)).get_engine()
    async with engine.connect() as connection:
        await connection.exec_driver_sql(ADD)
    await engine.dispose()


@pytest.fixture
def url(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a cat and a dog, which the commands use."""
    monkeypatch.setenv("PETS_DATABASE_URL", empty_database_url)
    migrate(Settings(database_url=empty_database_url))
    asyncio.run(add(empty_database_url))
    return empty_database_url


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("options", [[], ["--repair"]])
def test_right_counts_are_reported_in_one_line(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-counts", *options]) == 0
    assert capsys.readouterr() == ("all counts are right\n", "")


def test_each_wrong_count_is_a_line_and_exit_code_1(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add_uncounted(url)
    for _ in range(2):
        assert main(["check-counts"]) == 1
        printed = capsys.readouterr()
        assert printed.out.splitlines() == WRONG
        assert printed.err == "pets: counts are wrong; `pets check-counts --repair` repairs them\n"


def test_the_repair_says_what_it_repaired(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    add_uncounted(url)
    assert main(["check-counts", "--repair"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [f"{line}; repaired" for line in WRONG]
    assert printed.err == ""
    assert main(["check-counts"]) == 0


def test_a_sequence_behind_the_pets_is_found_and_repaired(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def set_back() -> None:
        engine = create_config(parse_url(url)).get_engine()
        statement = {
            "postgresql": "SELECT setval('pets_id_seq', 1, false)",
            "sqlite": "DELETE FROM sqlite_sequence",
        }[engine.dialect.name]
        async with engine.connect() as connection:
            await connection.exec_driver_sql(statement)
        await engine.dispose()

    asyncio.run(set_back())
    line = "ids: the sequence is at 0, but a pet has 2"
    assert main(["doctor"]) == 1
    assert line in capsys.readouterr().err
    assert main(["check-counts"]) == 1
    assert capsys.readouterr().out == f"{line}\n"
    assert main(["check-counts", "--repair"]) == 0
    assert capsys.readouterr().out == f"{line}; repaired\n"
    for command in ("check-counts", "doctor"):
        assert main([command]) == 0


def test_kept_counts_of_pets_that_are_gone_are_wrong(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def keep_too_many() -> None:
        engine = create_config(parse_url(url)).get_engine()
        async with engine.connect() as connection:
            await connection.exec_driver_sql(
                "INSERT INTO pet_counts (age, type, count) VALUES (100, 'dog', 3)"
            )
        await engine.dispose()

    asyncio.run(keep_too_many())
    assert main(["check-counts"]) == 1
    assert capsys.readouterr().out == "dog, age 100: kept 3, found 0\n"


def test_the_repair_is_right_while_others_write(url: str) -> None:
    add_uncounted(url)
    repairs = 0

    async def use() -> None:
        nonlocal repairs
        engine = create_config(parse_url(url)).get_engine()
        repository = SQLAlchemyPetRepository(engine)

        async def write() -> None:
            for size in (1, 5, 2, 7, 3) * 3:
                pets = await repository.add(NewPetFactory.batch(size))
                await repository.remove([pet.id for pet in pets[::2]])

        async with asyncio.timeout(60):
            writers = [asyncio.create_task(write()) for _ in range(4)]
            while not all(writer.done() for writer in writers):
                wrong = await repair_counts(engine)
                assert bool(wrong) == (repairs == 0)
                repairs += 1
            await asyncio.gather(*writers)
        assert await check_counts(engine) == []
        await engine.dispose()

    asyncio.run(use())
    assert repairs > 1


def test_the_repair_mends_counts_after_a_restore_of_data_only(
    used_postgresql: str, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    original = new_database("postgresql")
    migrate(Settings(database_url=original))
    execute(original, ADD)
    dump = tmp_path / "pets.dump"
    arguments = ["--format", "custom", "--data-only", "--table", "pets", "--table", "pet_counts"]
    subprocess.run(
        [POSTGRESQL_PROGRAMS / "pg_dump", *arguments, "--file", dump, original], check=True
    )
    subprocess.run(
        [POSTGRESQL_PROGRAMS / "pg_restore", "--data-only", "--dbname", used_postgresql, dump],
        check=True,
    )
    assert main(["check-counts"]) == 1
    assert main(["check-counts", "--repair"]) == 0
    assert main(["check-counts"]) == 0


def test_the_repair_merges_the_rows_of_hand_written_transactions(used_postgresql: str) -> None:
    for _ in range(3):
        execute(used_postgresql, f"BEGIN ISOLATION LEVEL REPEATABLE READ; {ADD}; COMMIT")
    rows = "SELECT age, type, slot, count FROM pet_counts ORDER BY age, type"
    assert len(fetch(used_postgresql, rows)) == 3 * 4
    assert main(["check-counts", "--repair"]) == 0
    assert [tuple(row) for row in fetch(used_postgresql, rows)] == [
        (-1, "cat", 0, 3),
        (-1, "dog", 0, 3),
        (1, "dog", 0, 3),
        (9, "cat", 0, 3),
    ]
