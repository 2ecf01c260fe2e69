"""What a caller learns when the database fails: not done, outcome unknown, or a bug."""

import asyncio
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from asyncpg.exceptions import InternalClientError, PostgresError
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.failures import (
    CODES,
    TOO_SLOW_SEARCH,
    Outcome,
    domain_error,
    leaves_connection_unusable,
    outcome_of,
)
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.adapters.sqlalchemy.sqlite_file import path_of
from pets.bootstrap.stores import migrate
from pets.domain.errors import NoIdsLeft, OutcomeUnknown, StoreUnavailable
from pets.domain.pet import NewPet
from pets.domain.query import PetQuery
from pets.settings import Settings
from tests.factories import NewPetFactory
from tests.integration.conftest import execute

SECONDS = 1.0
"""How long a call may take in these tests."""

# Each statement that adds pets fails until so many have failed. A sequence counts them, because a
# rollback does not take back its numbers.
PLANT = """
    CREATE SEQUENCE failures;
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('failures') <= {times} THEN {failure}; END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER fail BEFORE INSERT ON pets EXECUTE FUNCTION fail()
"""
UPROOT = "DROP FUNCTION IF EXISTS fail() CASCADE; DROP SEQUENCE IF EXISTS failures"
LOSE_CONNECTION = "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(10)"


def raised(state: str) -> str:
    return f"RAISE EXCEPTION 'planted' USING ERRCODE = '{state}'"


class Store:
    """A repository on PostgreSQL, and a connection beside it that makes it fail."""

    def __init__(self, repository: SQLAlchemyPetRepository, other: asyncpg.Connection) -> None:
        self.repository = repository
        self.other = other

    async def plant(self, failure: str, times: int = 100) -> None:
        await self.other.execute(PLANT.format(failure=failure, times=times))

    async def attempts(self) -> int:
        number: int = await self.other.fetchval("SELECT last_value FROM failures")
        return number

    async def sessions(self) -> list[int]:
        """Return the process ids of the repository's sessions."""
        rows = await self.other.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid"
        )
        return [pid for (pid,) in rows]

    async def wait_for_lock(self, ended: int = 0) -> int:
        """Return the process id of a session that waits for a lock and is not the `ended` one."""
        query = """
            SELECT pid FROM pg_locks
            WHERE NOT granted AND relation = 'pets'::regclass AND pid <> $1
        """
        # No event tells of a lock.
        while (pid := await self.other.fetchval(query, ended)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        waiting: int = pid
        return waiting


@pytest.fixture
async def store(postgresql_url: str) -> AsyncIterator[Store]:
    engine = create_config(parse_url(postgresql_url), seconds=SECONDS).get_engine()
    other = await asyncpg.connect(postgresql_url)
    await other.execute("DELETE FROM pets")
    yield Store(SQLAlchemyPetRepository(engine), other)
    await other.execute(UPROOT)
    await other.close()
    await engine.dispose()


def new_pet() -> NewPet:
    return NewPetFactory.build()


SQLSTATES = {
    "40001": StoreUnavailable,
    "40P01": StoreUnavailable,
    "55P03": StoreUnavailable,
    "57014": StoreUnavailable,
    "53300": StoreUnavailable,
    "53200": StoreUnavailable,
    "57P03": StoreUnavailable,
    "25006": StoreUnavailable,
    "53100": StoreUnavailable,
    "58030": StoreUnavailable,
    "42P01": StoreUnavailable,  # any other error: the server rolled back
    "2200H": NoIdsLeft,
    "40003": OutcomeUnknown,
    "08006": OutcomeUnknown,
    "08004": OutcomeUnknown,
    "08P01": OutcomeUnknown,
    "57P01": OutcomeUnknown,
    "57P02": OutcomeUnknown,
    "22003": PostgresError,
    "23514": PostgresError,
}


@pytest.mark.anyio
@pytest.mark.parametrize(("state", "expected"), SQLSTATES.items())
async def test_an_sqlstate_says_whether_the_call_may_have_been_done(
    store: Store, state: str, expected: type[Exception]
) -> None:
    await store.plant(raised(state))
    with pytest.raises(expected) as caught:
        await store.repository.add([new_pet()])
    assert isinstance(caught.value, OutcomeUnknown) == (expected is OutcomeUnknown)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("42P01", "The store is not migrated to this version; `pets migrate` does that."),
        ("42501", "The database user lacks a right."),
        ("53300", "The database takes no more connections."),
        ("53200", "The store was too busy to do this in time."),
        ("55P03", "Another transaction held a lock for too long."),
        ("57014", "The store did not answer in time."),
        ("P0001", "The store refused this (SQLSTATE P0001)."),
        ("0A000", "The store refused this (SQLSTATE 0A000)."),
    ],
)
async def test_a_failure_is_told_by_its_sqlstate_and_not_by_its_text(
    store: Store, state: str, message: str
) -> None:
    await store.plant(raised(state))
    with pytest.raises(StoreUnavailable) as caught:
        await store.repository.add([new_pet()])
    assert str(caught.value) == message
    assert caught.value.reason == "planted"  # for operators


@pytest.mark.anyio
async def test_a_store_without_tables_is_not_migrated(empty_database_url: str) -> None:
    if file := path_of(parse_url(empty_database_url)):
        file.touch()  # A store is created by migrations alone.
    engine = create_config(parse_url(empty_database_url)).get_engine()
    with pytest.raises(StoreUnavailable, match="not migrated"):
        await SQLAlchemyPetRepository(engine).check()
    await engine.dispose()


def test_every_row_of_the_table_is_tested() -> None:
    tested = {state[:2] for state in SQLSTATES} | SQLSTATES.keys() | SQLITE_CODES.keys()
    decided = {code for code, (outcome, _) in CODES.items() if outcome is not Outcome.REFUSED}
    assert decided <= tested


SQLITE_CODES = {
    "SQLITE_BUSY": Outcome.NOT_NOW,
    "SQLITE_LOCKED": Outcome.NOT_NOW,
    "SQLITE_CANTOPEN": Outcome.NOT_DONE,
    "SQLITE_READONLY": Outcome.READ_ONLY,
    "SQLITE_FULL": Outcome.DISK,
    "SQLITE_IOERR": Outcome.UNKNOWN,
    "SQLITE_CONSTRAINT": Outcome.BUG,
    "SQLITE_MISMATCH": Outcome.BUG,
}


@pytest.mark.parametrize(("code", "outcome"), SQLITE_CODES.items())
def test_an_extended_code_of_sqlite_means_what_its_primary_code_does(
    code: str, outcome: Outcome
) -> None:
    error = sqlite3.OperationalError("planted")
    error.sqlite_errorname = f"{code}_OF_SOME_KIND"
    assert outcome_of(error) is outcome


@pytest.mark.parametrize("error", [InternalClientError("x"), ConnectionResetError()])
def test_a_confused_driver_makes_the_outcome_unknown(error: Exception) -> None:
    """A backend that dies at a bad moment leaves asyncpg in an unknown protocol state."""
    assert isinstance(domain_error(outcome_of(error)), OutcomeUnknown)
    assert leaves_connection_unusable(error)


@pytest.mark.anyio
@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_call_that_conflicts_with_another_is_repeated_once(
    store: Store, state: str
) -> None:
    await store.plant(raised(state), times=1)
    (pet,) = await store.repository.add([new_pet()])
    assert await store.repository.find([pet.id]) == {pet.id: pet}
    await store.other.execute(UPROOT)
    await store.plant(raised(state), times=2)
    with pytest.raises(StoreUnavailable):
        await store.repository.add([new_pet()])
    assert await store.attempts() == 2


@pytest.mark.anyio
async def test_a_creation_is_not_repeated_after_a_lost_connection(store: Store) -> None:
    await store.plant(LOSE_CONNECTION, times=1)
    with pytest.raises(OutcomeUnknown):
        await store.repository.add([new_pet()])
    assert await store.attempts() == 1


@pytest.mark.anyio
async def test_a_creation_with_a_key_is_repeated_after_a_lost_connection(store: Store) -> None:
    await store.plant(LOSE_CONNECTION, times=1)
    added = await store.repository.add_once({"key": [new_pet()]})
    assert await store.repository.find([added["key"].pets[0].id])
    assert await store.attempts() == 2


@pytest.mark.anyio
async def test_the_outcome_stays_unknown_if_the_repetition_cannot_begin(
    store: Store, postgresql_server: str
) -> None:
    """The first attempt may have been done, although the second one was not."""
    database = await store.other.fetchval("SELECT current_database()")
    connections = f"ALTER DATABASE {database} ALLOW_CONNECTIONS"
    await store.plant(LOSE_CONNECTION)
    await store.repository.check()  # opens the only connection
    await asyncio.to_thread(execute, postgresql_server, f"{connections} false")
    try:
        with pytest.raises(OutcomeUnknown):
            await store.repository.add_once({"other key": [new_pet()]})
        with pytest.raises(StoreUnavailable) as caught:
            await store.repository.find([1])
        assert not isinstance(caught.value, OutcomeUnknown)
    finally:
        await asyncio.to_thread(execute, postgresql_server, f"{connections} true")


@pytest.mark.anyio
async def test_pets_that_are_committed_are_never_reported_as_not_done(store: Store) -> None:
    """The new pets of a batch are committed before those of used keys are read, which fails."""
    await store.repository.add_once({"used": [new_pet()]})
    await store.plant("PERFORM set_config('search_path', 'nowhere', false)")
    with pytest.raises(OutcomeUnknown):
        await store.repository.add_once({"used": [new_pet()], "new": [new_pet()]})
    assert await store.other.fetchval("SELECT count(*) FROM pets") == 2


@pytest.mark.anyio
async def test_a_read_is_repeated_after_a_lost_connection(store: Store) -> None:
    (pet,) = await store.repository.add([new_pet()])
    async with store.other.transaction():
        await store.other.execute("LOCK pets")
        reading = asyncio.create_task(store.repository.find([pet.id]))
        first = await store.wait_for_lock()
        await store.other.execute(f"SELECT pg_terminate_backend({first})")
        await store.wait_for_lock(ended=first)
    assert await reading == {pet.id: pet}


@pytest.mark.anyio
async def test_only_a_new_connection_needs_a_greenlet(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make a greenlet takes as long as to lend an idle connection without one."""
    opened: list[AsyncEngine] = []
    raw_connection = AsyncEngine.raw_connection

    async def open_one(engine: AsyncEngine) -> PoolProxiedConnection:
        opened.append(engine)
        return await raw_connection(engine)

    monkeypatch.setattr(AsyncEngine, "raw_connection", open_one)
    for _ in range(3):
        assert await store.repository.find([1]) == {}
    assert len(opened) == 1


@pytest.mark.anyio
async def test_the_server_gives_up_first_and_the_connection_stays(store: Store) -> None:
    """It waits for a lock for at most 3 s, and less if the deadline is near."""
    await store.repository.find([1])
    sessions = await store.sessions()
    async with store.other.transaction():
        await store.other.execute("LOCK pets")
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            await store.repository.add([new_pet()])
    assert time.monotonic() - begun < SECONDS
    assert not isinstance(caught.value, OutcomeUnknown)
    assert await store.sessions() == sessions


@pytest.mark.anyio
async def test_a_slow_statement_is_not_done(store: Store) -> None:
    await store.plant("PERFORM pg_sleep(10)")
    with pytest.raises(StoreUnavailable) as caught:
        await store.repository.add([new_pet()])
    assert caught.value.reason == "canceling statement due to statement timeout"
    assert not isinstance(caught.value, OutcomeUnknown)


LATE = "The store did not answer in time."


@pytest.fixture
async def impatient(postgresql_url: str) -> AsyncIterator[SQLAlchemyPetRepository]:
    """A repository whose one session waits for a lock until its statement takes too long."""
    engine = create_config(parse_url(postgresql_url), seconds=SECONDS).get_engine()
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SET statement_timeout = '20ms'")
        await connection.exec_driver_sql("SET lock_timeout = 0")
    yield SQLAlchemyPetRepository(engine)
    await engine.dispose()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "message"),
    [
        (PetQuery(name="bo"), TOO_SLOW_SEARCH),
        (PetQuery(name_is="boy"), LATE),
        (PetQuery(), LATE),
    ],
)
async def test_a_slow_search_for_a_part_of_a_name_says_what_helps(
    store: Store, impatient: SQLAlchemyPetRepository, query: PetQuery, message: str
) -> None:
    async with store.other.transaction():
        await store.other.execute("LOCK pets")
        with pytest.raises(StoreUnavailable) as page:
            await impatient.pages([query])
        with pytest.raises(StoreUnavailable) as export:
            await anext(impatient.export(query))
    assert [str(page.value), str(export.value)] == [message] * 2
    assert page.value.reason == "canceling statement due to statement timeout"


@pytest.mark.anyio
async def test_a_server_that_does_not_give_up_makes_the_outcome_unknown_in_time(
    store: Store, postgresql_url: str
) -> None:
    """Its connection is not used again, because an answer may still come."""
    engine = create_config(parse_url(postgresql_url), seconds=SECONDS).get_engine()
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SET statement_timeout = 0")
    repository = SQLAlchemyPetRepository(engine)
    await store.plant("PERFORM pg_sleep(10)", times=1)
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        await repository.add([new_pet()])
    assert time.monotonic() - begun < SECONDS + 0.5
    assert await repository.add([new_pet()])
    await engine.dispose()


@pytest.mark.anyio
async def test_a_read_only_server_loses_its_connection_at_a_change_alone(store: Store) -> None:
    """The pool must not stay on a primary that another server has replaced."""
    await store.repository.find([1])
    first = await store.sessions()
    await store.plant(raised("25006"))
    with pytest.raises(StoreUnavailable, match="no changes"):
        await store.repository.add([new_pet()])
    await store.repository.find([1])
    assert set(await store.sessions()).isdisjoint(first)


@pytest.mark.anyio
async def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    url = parse_url(f"postgresql://pets@127.0.0.1:{port}/pets")
    engine = create_config(url, seconds=SECONDS).get_engine()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        await SQLAlchemyPetRepository(engine).add([new_pet()])
    assert time.monotonic() - begun < SECONDS
    assert not isinstance(caught.value, OutcomeUnknown)
    silent.close()


@pytest.mark.anyio
async def test_a_locked_file_of_sqlite_is_not_done_in_time(tmp_path: Path) -> None:
    file = tmp_path / "pets.db"
    url = f"sqlite+aiosqlite:///{file}"
    await asyncio.to_thread(migrate, Settings(database_url=url))
    engine = create_config(parse_url(url), seconds=SECONDS).get_engine()
    repository = SQLAlchemyPetRepository(engine)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as caught:
        await repository.add([new_pet()])
    assert not isinstance(caught.value, OutcomeUnknown)
    other.execute("ROLLBACK")
    assert await repository.add([new_pet()])
    other.close()
    await engine.dispose()


SLOW_SEARCH = PetQuery(name="x" * 100, limit=1)


@pytest.fixture
async def slow_sqlite(tmp_path: Path) -> AsyncIterator[SQLAlchemyPetRepository]:
    """A file in which a search takes seconds."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'pets.db'}"
    await asyncio.to_thread(migrate, Settings(database_url=url))
    with closing(sqlite3.connect(tmp_path / "pets.db")) as file, file:
        file.execute("""
            WITH RECURSIVE numbers (number) AS (
                SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 300000
            )
            INSERT INTO pets (name, age, type, created_at)
            SELECT printf('%.*c', 100, 'x'), 1, 'dog', '2026-11-24 00:00:00' FROM numbers
        """)
    engine = create_config(parse_url(url), seconds=SECONDS).get_engine()
    yield SQLAlchemyPetRepository(engine)
    await engine.dispose()


@pytest.mark.thorough
@pytest.mark.anyio
async def test_a_search_of_sqlite_that_is_cancelled_ends_at_once(
    slow_sqlite: SQLAlchemyPetRepository,
) -> None:
    begun = time.monotonic()
    await slow_sqlite.pages([SLOW_SEARCH])
    whole = time.monotonic() - begun
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(whole / 10):
            await slow_sqlite.pages([SLOW_SEARCH])
    assert time.monotonic() - begun < whole / 2
    assert await slow_sqlite.find([1])


@pytest.mark.thorough
@pytest.mark.anyio
async def test_a_creation_on_sqlite_that_is_cancelled_raises_no_other_error(tmp_path: Path) -> None:
    """Its rollback fails, because SQLAlchemy gives up a connection whose call is cancelled."""
    file = tmp_path / "pets.db"
    url = f"sqlite+aiosqlite:///{file}"
    await asyncio.to_thread(migrate, Settings(database_url=url))
    engine = create_config(parse_url(url), seconds=SECONDS).get_engine()
    repository = SQLAlchemyPetRepository(engine)
    pets = {str(number): NewPetFactory.batch(2) for number in range(10_000)}
    adding = asyncio.create_task(repository.add_once(pets))
    wal = file.with_name("pets.db-wal")
    while not (wal.exists() and wal.stat().st_size):  # noqa: ASYNC110  # No event tells of it.
        await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    await engine.dispose()
