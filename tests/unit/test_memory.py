"""The contract of the port over the repository in memory."""

import pytest

from pets.adapters.memory import InMemoryPetRepository
from tests.port_contract import PetRepositoryContract


@pytest.fixture
def repository() -> InMemoryPetRepository:
    return InMemoryPetRepository()


class TestInMemoryPetRepository(PetRepositoryContract):
    pass
