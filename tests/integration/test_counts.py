"""The kept counts are the pets' real number at every moment, whoever writes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from advanced_alchemy.alembic.commands import AlembicCommands
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pets.adapters.engine import create_config, parse_url
from pets.adapters.sqlalchemy import SQLAlchemyPetRepository
from pets.bootstrap import Settings, migrate
from tests.factories import NewPetFactory

pytestmark = pytest.mark.anyio

DECISION = Path(__file__).parents[2] / "docs" / "decisions" / "0007-the-database-keeps-the-counts.md"
KEPT = "SELECT type, sum(count) FROM pet_counts GROUP BY type HAVING sum(count) <> 0 ORDER BY type"
REAL = "SELECT type, count(*) FROM pets GROUP BY type ORDER BY type"
ADD_10_DOGS_5_CATS = (
    "INSERT INTO pets (name, age, type, created_at) SELECT 'x', 1, 'dog', '2021-05-18 19:10:17' FROM ({}) AS ten",
    "INSERT INTO pets (name, age, type, created_at) SELECT 'x', 1, 'cat', '2021-05-18 19:10:17' FROM ({}) AS five",
)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_config(parse_url(database_url)).get_engine()
    async with engine.connect() as connection:
        await connection.execute(text("DELETE FROM pets"))
    yield engine
    await engine.dispose()


async def counts(connection: AsyncConnection) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return the kept and the real counts of one snapshot."""
    await connection.exec_driver_sql("BEGIN" if is_sqlite(connection) else "BEGIN ISOLATION LEVEL REPEATABLE READ")
    kept = [(row[0], int(row[1])) for row in await connection.execute(text(KEPT))]
    real = [(row[0], int(row[1])) for row in await connection.execute(text(REAL))]
    await connection.exec_driver_sql("COMMIT")
    return kept, real


def is_sqlite(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "sqlite"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE pets SET type = 'cat' WHERE id % 2 = 0", None),
        ("UPDATE pets SET type = type, age = 100", [("cat", 5), ("dog", 10)]),
        ("DELETE FROM pets WHERE type = 'cat'", [("dog", 10)]),
        ("DELETE FROM pets", []),
        ("DELETE FROM pets WHERE false", [("cat", 5), ("dog", 10)]),
        ("INSERT INTO pets (name, age, type, created_at) SELECT name, age, type, created_at FROM pets", None),
    ],
)
async def test_follow_what_is_written_by_hand(
    engine: AsyncEngine, statement: str, expected: list[tuple[str, int]] | None
) -> None:
    async with engine.connect() as connection:
        for insert, number in zip(ADD_10_DOGS_5_CATS, (10, 5), strict=True):
            await connection.execute(text(insert.format(" UNION ALL ".join(["SELECT 1"] * number))))
        assert await counts(connection) == ([("cat", 5), ("dog", 10)],) * 2
        await connection.execute(text(statement))
        kept, real = await counts(connection)
    assert kept == real
    assert expected in (None, kept)


async def test_can_be_checked_and_repaired_as_documented(engine: AsyncEngine) -> None:
    check, repair = (block.split("```")[0] for block in DECISION.read_text().split("```sql\n")[1:])
    async with engine.connect() as connection:
        await SQLAlchemyPetRepository(engine).add(NewPetFactory.batch(10))
        assert (await connection.execute(text(check))).all() == []
        await connection.execute(text("UPDATE pet_counts SET count = count + 1"))
        assert (await connection.execute(text(check))).all() != []
        if is_sqlite(connection):
            repair = repair.replace("BEGIN", "BEGIN IMMEDIATE").replace(
                "LOCK TABLE pets IN SHARE ROW EXCLUSIVE MODE;", ""
            )
        for statement in repair.split(";"):
            if statement.strip():
                await connection.exec_driver_sql(statement)
        assert (await connection.execute(text(check))).all() == []
        kept, real = await counts(connection)
        assert kept == real


async def test_follow_a_rollback(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.exec_driver_sql("BEGIN")
        await connection.execute(text(ADD_10_DOGS_5_CATS[0].format("SELECT 1")))
        await connection.exec_driver_sql("ROLLBACK")
        assert await counts(connection) == ([], [])


async def test_follow_truncate_and_copy(postgresql_url: str) -> None:
    engine = create_config(parse_url(postgresql_url)).get_engine()
    async with engine.connect() as connection:
        await SQLAlchemyPetRepository(engine).add(NewPetFactory.batch(10))
        await connection.execute(text("TRUNCATE pets"))
        assert await counts(connection) == ([], [])
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver
        rows = [(pet.name, pet.age, pet.type, pet.created_at) for pet in NewPetFactory.batch(10)]
        await driver.copy_records_to_table("pets", records=rows, columns=["name", "age", "type", "created_at"])
        kept, real = await counts(connection)
        assert kept == real != []
    await engine.dispose()


async def test_are_exact_at_every_snapshot_while_many_write(engine: AsyncEngine) -> None:
    repository = SQLAlchemyPetRepository(engine)
    writing = True
    snapshots = 0

    async def write() -> None:
        for size in (1, 5, 2, 7, 3) * 4:
            pets = await repository.add(NewPetFactory.batch(size))
            await repository.remove([pet.id for pet in pets[::2]])

    async def watch() -> None:
        nonlocal snapshots
        async with engine.connect() as connection:
            while writing:
                kept, real = await counts(connection)
                assert kept == real
                snapshots += 1

    async def write_all() -> None:
        nonlocal writing
        try:
            await asyncio.gather(*(write() for _ in range(8)))
        finally:
            writing = False

    await asyncio.gather(watch(), watch(), write_all())
    assert snapshots > 10


async def test_are_right_from_the_start_when_they_are_installed_while_others_write(empty_database_url: str) -> None:
    commands = AlembicCommands(create_config(parse_url(empty_database_url)))
    await asyncio.to_thread(commands.upgrade, "0001")
    engine = create_config(parse_url(empty_database_url)).get_engine()
    repository = SQLAlchemyPetRepository(engine)
    await repository.add(NewPetFactory.batch(1000))
    installed = asyncio.Event()

    async def write() -> None:
        while not installed.is_set():
            pets = await repository.add(NewPetFactory.batch(3))
            await repository.remove([pets[0].id])

    async def install() -> None:
        await asyncio.to_thread(migrate, Settings(database_url=empty_database_url))
        installed.set()

    await asyncio.gather(*(write() for _ in range(4)), install())
    async with engine.connect() as connection:
        kept, real = await counts(connection)
    await engine.dispose()
    assert kept == real != []
