from asyncio import create_task, gather, sleep, wait_for
from collections.abc import AsyncIterator

import asyncpg
import pytest

from pets.adapters.batching import BatchingPetRepository
from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.repository import MAX_SEARCHES, MAX_WAITING, SQLAlchemyPetRepository
from pets.adapters.sqlalchemy.tables import pet_keys, pets
from pets.domain.errors import StoreUnavailable
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage
from tests.port_contract import PetRepositoryContract


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemyPetRepository]:
    engine = create_config(parse_url(database_url)).get_engine()
    async with engine.connect() as connection:
        for table in (pets, pet_keys):
            await connection.execute(table.delete())
    yield SQLAlchemyPetRepository(engine)
    await engine.dispose()


@pytest.mark.anyio
async def test_searches_leave_connections_to_what_is_quick_and_are_turned_away_in_great_numbers(
    postgresql_url: str,
) -> None:
    engine = create_config(parse_url(postgresql_url)).get_engine()
    repository = SQLAlchemyPetRepository(engine)
    locking = await asyncpg.connect(postgresql_url)
    async with locking.transaction():
        await locking.execute("LOCK TABLE pets")
        searches = [
            create_task(repository.page(PetQuery(name=str(number))))
            for number in range(MAX_WAITING + 10)
        ]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pets'::regclass"
        while await locking.fetchval(waiting) < MAX_SEARCHES:  # noqa: ASYNC110  # PostgreSQL tells no event
            await sleep(0)
        await wait_for(repository.check(), 4)
        assert await locking.fetchval(waiting) == MAX_SEARCHES
    await locking.close()
    outcomes = await gather(*searches, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [PetPage] * MAX_WAITING + [
        StoreUnavailable
    ] * 10
    await engine.dispose()


class TestSQLAlchemyPetRepository(PetRepositoryContract):
    pass


class TestBatchingOverSQLAlchemy(PetRepositoryContract):
    @pytest.fixture
    def repository(self, repository: SQLAlchemyPetRepository) -> BatchingPetRepository:
        return BatchingPetRepository(repository)
