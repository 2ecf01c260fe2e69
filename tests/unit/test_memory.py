"""The contract of the port over the repository in memory."""

import time

import pytest

from pets.adapters.memory import InMemoryPetRepository
from tests.port_contract import BOY, PetRepositoryContract


@pytest.fixture
def repository() -> InMemoryPetRepository:
    return InMemoryPetRepository()


class TestInMemoryPetRepository(PetRepositoryContract):
    pass


@pytest.mark.anyio
async def test_adding_under_keys_takes_linear_time(repository: InMemoryPetRepository) -> None:
    """Each key that is added forgets a few expired ones, and looks at no others."""
    keys = {str(number): [BOY] for number in range(20_000)}
    began = time.process_time()
    await repository.add_once(keys)
    assert time.process_time() - began < 2
