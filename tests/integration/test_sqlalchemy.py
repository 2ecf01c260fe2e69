from collections.abc import AsyncIterator

import pytest

from pets.adapters.batching import BatchingPetRepository
from pets.adapters.engine import create_config, parse_url
from pets.adapters.sqlalchemy import SQLAlchemyPetRepository
from pets.adapters.tables import pet_keys, pets
from tests.port_contract import PetRepositoryContract


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemyPetRepository]:
    engine = create_config(parse_url(database_url)).get_engine()
    async with engine.connect() as connection:
        for table in (pets, pet_keys):
            await connection.execute(table.delete())
    yield SQLAlchemyPetRepository(engine)
    await engine.dispose()


class TestSQLAlchemyPetRepository(PetRepositoryContract):
    pass


class TestBatchingOverSQLAlchemy(PetRepositoryContract):
    @pytest.fixture
    def repository(self, repository: SQLAlchemyPetRepository) -> BatchingPetRepository:
        return BatchingPetRepository(repository)
