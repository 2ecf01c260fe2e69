"""The kept counts equal the real numbers of pets at every moment, whatever writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.domain.pet import PetType
from pets.domain.query import PetQuery
from tests.factories import NewPetFactory

pytestmark = pytest.mark.anyio

KEPT = """
    SELECT age, type, sum(count) FROM pet_counts
    GROUP BY age, type HAVING sum(count) <> 0 ORDER BY age, type
"""
REAL = """
    SELECT -1 AS age, type, count(*) FROM pets GROUP BY type
    UNION ALL SELECT age, type, count(*) FROM pets GROUP BY age, type ORDER BY age, type
"""
Count = tuple[int, str, int]
"""An age, or -1 for all ages; a type; and the number of such pets."""

COLUMNS = "name, age, type, created_at"


def insert(kind: str, number: int) -> str:
    """Return a statement that adds this number of pets of a type."""
    rows = ", ".join([f"('x', 1, '{kind}', '2021-05-18 19:10:17')"] * number)
    return f"INSERT INTO pets ({COLUMNS}) VALUES {rows}"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_config(parse_url(database_url)).get_engine()
    async with engine.connect() as connection:
        await connection.execute(text("DELETE FROM pets"))
    yield engine
    await engine.dispose()


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_config(parse_url(postgresql_url)).get_engine()
    async with engine.connect() as connection:
        await connection.exec_driver_sql("TRUNCATE pets")
    yield engine
    await engine.dispose()


async def counts(connection: AsyncConnection) -> tuple[list[Count], list[Count]]:
    """Return the kept and the real counts of one snapshot."""
    await connection.exec_driver_sql(
        "BEGIN" if is_sqlite(connection) else "BEGIN ISOLATION LEVEL REPEATABLE READ"
    )
    kept = [(row[0], row[1], int(row[2])) for row in await connection.execute(text(KEPT))]
    real = [(row[0], row[1], int(row[2])) for row in await connection.execute(text(REAL))]
    await connection.exec_driver_sql("COMMIT")
    return kept, real


def totals(kept: list[Count]) -> list[tuple[str, int]]:
    """Return the number of pets of each type, whatever their age."""
    return [(kind, number) for age, kind, number in kept if age == -1]


def is_sqlite(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "sqlite"


ADDED = [(-1, "cat", 5), (-1, "dog", 10), (1, "cat", 5), (1, "dog", 10)]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE pets SET type = 'cat' WHERE id % 2 = 0", None),
        ("UPDATE pets SET age = id % 7, type = 'cat' WHERE id % 2 = 0", None),
        (
            "UPDATE pets SET type = type, age = 100",
            [(-1, "cat", 5), (-1, "dog", 10), (100, "cat", 5), (100, "dog", 10)],
        ),
        (
            "UPDATE pets SET age = 0 WHERE type = 'dog'",
            [(-1, "cat", 5), (-1, "dog", 10), (0, "dog", 10), (1, "cat", 5)],
        ),
        ("UPDATE pets SET name = 'y'", ADDED),
        ("DELETE FROM pets WHERE type = 'cat'", [(-1, "dog", 10), (1, "dog", 10)]),
        ("DELETE FROM pets", []),
        ("DELETE FROM pets WHERE false", ADDED),
        (
            f"INSERT INTO pets ({COLUMNS}) SELECT {COLUMNS} FROM pets",
            [(age, kind, 2 * number) for age, kind, number in ADDED],
        ),
    ],
)
async def test_counts_follow_statements_written_by_hand(
    engine: AsyncEngine, statement: str, expected: list[Count] | None
) -> None:
    async with engine.connect() as connection:
        await connection.execute(text(insert("dog", 10)))
        await connection.execute(text(insert("cat", 5)))
        assert await counts(connection) == (ADDED, ADDED)
        await connection.execute(text(statement))
        kept, real = await counts(connection)
    assert kept == real
    assert expected in (None, kept)


async def test_counts_follow_a_rollback(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.exec_driver_sql("BEGIN")
        await connection.execute(text(insert("dog", 1)))
        await connection.exec_driver_sql("ROLLBACK")
        assert await counts(connection) == ([], [])


async def test_counts_follow_truncate(postgresql: AsyncEngine) -> None:
    await SQLAlchemyPetRepository(postgresql).add(NewPetFactory.batch(10))
    async with postgresql.connect() as connection:
        await connection.execute(text("TRUNCATE pets"))
        assert await counts(connection) == ([], [])


async def test_counts_follow_copy(postgresql: AsyncEngine) -> None:
    rows = [(pet.name, pet.age, pet.type, pet.created_at) for pet in NewPetFactory.batch(10)]
    async with postgresql.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver
        await driver.copy_records_to_table("pets", records=rows, columns=COLUMNS.split(", "))
        kept, real = await counts(connection)
        assert kept == real
        assert sum(number for _, number in totals(kept)) == 10


@pytest.mark.thorough
async def test_counts_are_exact_in_every_snapshot_while_many_write(engine: AsyncEngine) -> None:
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


ADD_BOTH = """
    INSERT INTO pets (name, age, type, created_at)
    VALUES ('x', 1, 'dog', '2021-05-18 19:10:17+00'), ('x', 1, 'cat', '2021-05-18 19:10:17+00')
"""
BOTH = [(-1, "cat", 1), (-1, "dog", 1), (1, "cat", 1), (1, "dog", 1)]


async def test_creations_never_wait_for_open_transactions(
    postgresql: AsyncEngine, postgresql_url: str
) -> None:
    """Open transactions hold every slot. Later writers use the freed slots again."""
    repository = SQLAlchemyPetRepository(postgresql)
    async with AsyncExitStack() as sessions, postgresql.connect() as connection:
        transactions = []
        for _ in range(25):
            session = await asyncpg.connect(postgresql_url)
            sessions.push_async_callback(session.close)
            transaction = session.transaction()
            await transaction.start()
            await asyncio.wait_for(session.execute(ADD_BOTH), 5)
            transactions.append(transaction)

        adding = (repository.add(NewPetFactory.batch(2)) for _ in range(50))
        await asyncio.wait_for(asyncio.gather(*adding), 10)
        kept, real = await counts(connection)
        assert kept == real
        assert sum(number for _, number in totals(kept)) == 100

        for number, transaction in enumerate(transactions):
            await (transaction.commit() if number % 2 else transaction.rollback())
        kept, real = await counts(connection)
        assert kept == real
        assert sum(number for _, number in totals(kept)) == 100 + 2 * 12
        slots = await connection.exec_driver_sql("SELECT count(DISTINCT slot) FROM pet_counts")
        # There are no more slots than transactions were open at the same time.
        assert slots.scalar_one() <= 25 + 10


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
async def test_counts_follow_a_transaction_in_any_isolation(
    postgresql: AsyncEngine, isolation: str
) -> None:
    """The transaction succeeds although others write after its snapshot."""
    repository = SQLAlchemyPetRepository(postgresql)
    async with postgresql.connect() as connection, postgresql.connect() as other:
        await connection.exec_driver_sql(f"BEGIN ISOLATION LEVEL {isolation}")
        await connection.exec_driver_sql("SELECT count(*) FROM pet_counts")
        await repository.add(NewPetFactory.batch(4))
        await connection.exec_driver_sql(ADD_BOTH)
        await connection.exec_driver_sql("SAVEPOINT undone")
        await connection.exec_driver_sql(ADD_BOTH)
        await connection.exec_driver_sql("ROLLBACK TO undone")
        await connection.exec_driver_sql("SAVEPOINT kept")
        await connection.exec_driver_sql(ADD_BOTH)
        await connection.exec_driver_sql("COMMIT")
        kept, real = await counts(other)
    assert kept == real != []


async def test_counts_follow_truncate_in_an_old_snapshot(
    postgresql: AsyncEngine,
) -> None:
    repository = SQLAlchemyPetRepository(postgresql)
    async with postgresql.connect() as connection:
        await connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await connection.exec_driver_sql("SELECT count(*) FROM pet_counts")
        await repository.add(NewPetFactory.batch(4))
        await connection.exec_driver_sql("TRUNCATE pets")
        await connection.exec_driver_sql(ADD_BOTH)
        await connection.exec_driver_sql("COMMIT")
        assert await counts(connection) == (BOTH, BOTH)


async def test_listings_and_truncate_do_not_deadlock(postgresql: AsyncEngine) -> None:
    repository = SQLAlchemyPetRepository(postgresql)
    await repository.add(NewPetFactory.batch(10))
    truncated = asyncio.Event()

    async def list_pets(query: PetQuery) -> None:
        while not truncated.is_set():
            await repository.pages([query])

    queries = [PetQuery(), PetQuery(type=PetType.DOG), PetQuery(descending=True)]
    async with (
        asyncio.timeout(30),
        asyncio.TaskGroup() as tasks,
        postgresql.connect() as connection,
    ):
        for query in queries:
            tasks.create_task(list_pets(query))
        for _ in range(100):
            await connection.exec_driver_sql("TRUNCATE pets")
        truncated.set()
