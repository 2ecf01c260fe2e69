"""The contract of the port over real databases, and the connections of searches."""

from asyncio import Task, create_task, gather, run, sleep, wait_for
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from functools import partial

import asyncpg
import pytest

from pets.adapters.batching import BatchingPetRepository
from pets.adapters.sqlalchemy.engine import SEARCH_CONNECTIONS, create_config, parse_url
from pets.adapters.sqlalchemy.models import pet_keys, pets
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.api.streams import MAX_STREAMS
from pets.bootstrap.stores import migrate
from pets.domain.pet import PetChange, PetType
from pets.domain.query import PetQuery, PetSort
from pets.domain.repository import PetPage
from pets.settings import Settings
from tests.factories import NewPetFactory
from tests.integration.conftest import fetch, over_every_store
from tests.port_contract import BOY, PassTime, PetRepositoryContract, exported, load, page_of


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SQLAlchemyPetRepository]:
    engine = create_config(parse_url(url)).get_engine()
    searching = create_config(parse_url(url), is_for_searches=True).get_engine()
    async with engine.connect() as connection:
        for table in (pets, pet_keys):
            await connection.execute(table.delete())
    yield SQLAlchemyPetRepository(engine, searching=searching)
    await engine.dispose()
    await searching.dispose()


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemyPetRepository]:
    async with opened(database_url) as repository:
        yield repository


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[SQLAlchemyPetRepository]:
    async with opened(postgresql_url) as repository:
        yield repository


@pytest.fixture
def pass_time(database_url: str) -> PassTime:
    return partial(make_keys_older, database_url)


async def make_keys_older(url: str, time: timedelta) -> None:
    engine = create_config(parse_url(url)).get_engine()
    older = {
        "postgresql": "created_at - interval '{} seconds'",
        "sqlite": "datetime(created_at, '-{} seconds')",
    }[engine.dialect.name]
    async with engine.connect() as connection:
        seconds = older.format(time.total_seconds())
        await connection.exec_driver_sql(f"UPDATE pet_keys SET created_at = {seconds}")
    await engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("column", ["note", "pet_id"])
def test_a_column_that_an_operator_adds_breaks_nothing(
    kind: str, column: str, new_database: Callable[[str], str]
) -> None:
    async def use_and_add_columns() -> None:
        async with opened(url) as repository:
            engine = create_config(parse_url(url)).get_engine()
            async with engine.connect() as connection:
                for table in ("pets", "pet_keys", "pet_counts"):
                    await connection.exec_driver_sql(
                        f"ALTER TABLE {table} ADD COLUMN {column} TEXT DEFAULT 'x'"
                    )
            await engine.dispose()
            await use_the_whole_port(repository)

    url = new_database(kind)
    migrate(Settings(database_url=url))
    run(use_and_add_columns())


async def use_the_whole_port(repository: SQLAlchemyPetRepository) -> None:
    (pet,) = await repository.add([BOY])
    assert await load(repository, BOY.with_id(pet.id + 9)) == []
    assert list(await load(repository, BOY)) == []
    keyed = await repository.add_once({"k": [BOY]})
    assert (await repository.add_once({"k": [BOY]}))["k"].pets == keyed["k"].pets
    assert await repository.find([pet.id]) == {pet.id: pet}
    for query in (PetQuery(), PetQuery(name="b"), PetQuery(age_min=1, sort=PetSort.NAME)):
        assert (await page_of(repository, query)).count == 4
        assert (await exported(repository, query))[0] == pet
    changed = await repository.change({pet.id: PetChange(type=PetType.CAT)}, expected={pet.id: pet})
    assert await repository.remove([pet.id], expected=changed) == {pet.id}


FOLDING = """
    SELECT CASE
        WHEN current_setting('server_version_num')::int >= 180000 THEN 'full'
        WHEN EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') THEN 'icu'
        ELSE 'libc'
    END
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pets'::regclass"


@asynccontextmanager
async def locked_pets(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Let everyone else wait for the table of pets until the end of the block."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE pets")
            yield connection
    finally:
        await connection.close()


def start_searches(repository: SQLAlchemyPetRepository, number: int) -> list[Task[PetPage]]:
    queries = [PetQuery(name=str(part)) for part in range(number)]
    return [create_task(page_of(repository, query)) for query in queries]


@pytest.mark.anyio
async def test_searches_leave_connections_for_quick_calls(
    postgresql: SQLAlchemyPetRepository, postgresql_url: str
) -> None:
    async with locked_pets(postgresql_url) as connection:
        searches = start_searches(postgresql, 4 * SEARCH_CONNECTIONS)
        while await connection.fetchval(WAITING) < SEARCH_CONNECTIONS:  # noqa: ASYNC110  # no event exists
            await sleep(0)
        await wait_for(postgresql.check(), 4)
        assert await connection.fetchval(WAITING) == SEARCH_CONNECTIONS
    await gather(*searches)


@pytest.mark.anyio
async def test_streams_leave_connections_for_searches(
    postgresql: SQLAlchemyPetRepository,
) -> None:
    await postgresql.add([NewPetFactory.build()])
    async with AsyncExitStack() as stack:
        for _ in range(MAX_STREAMS):
            pets = await stack.enter_async_context(aclosing(postgresql.export(PetQuery())))
            assert await anext(pets)
        searches = start_searches(postgresql, 2 * SEARCH_CONNECTIONS)
        assert len(await wait_for(gather(*searches), 4)) == 2 * SEARCH_CONNECTIONS


@pytest.mark.anyio
async def test_searches_follow_streams_on_the_same_connections(
    postgresql: SQLAlchemyPetRepository,
) -> None:
    """Whether a stream was read to its end or cut off."""
    await postgresql.add([NewPetFactory.build()] * 2500)
    for is_cut_off in (True, False):
        async with aclosing(postgresql.export(PetQuery())) as chunks:
            async for _ in chunks:
                if is_cut_off:
                    break
        assert await gather(*start_searches(postgresql, 2 * SEARCH_CONNECTIONS))


@over_every_store
class TestSQLAlchemyPetRepository(PetRepositoryContract):
    @pytest.fixture
    def folding(self, database_url: str) -> str:
        if database_url.startswith("sqlite"):
            return "full"
        ((folding,),) = fetch(database_url, FOLDING)
        return str(folding)

    @pytest.fixture
    def own_url(
        self,
        request: pytest.FixtureRequest,
        new_database: Callable[[str], str],
        database_url: str,  # It tells the kind of the store.
    ) -> str:
        del database_url
        url = new_database(request.node.callspec.params["database_url"])
        migrate(Settings(database_url=url))
        return url

    @pytest.fixture
    async def own_repository(self, own_url: str) -> AsyncIterator[SQLAlchemyPetRepository]:
        async with opened(own_url) as repository:
            yield repository


@pytest.mark.thorough
class TestBatchingOverSQLAlchemy(TestSQLAlchemyPetRepository):
    @pytest.fixture
    def repository(self, repository: SQLAlchemyPetRepository) -> BatchingPetRepository:
        return BatchingPetRepository(repository)
