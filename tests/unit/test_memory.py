"""The contract of the port over the repository in memory."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from pets.adapters import memory
from pets.adapters.memory import InMemoryPetRepository
from tests.port_contract import BOY, PassTime, PetRepositoryContract


@pytest.fixture
def repository() -> InMemoryPetRepository:
    return InMemoryPetRepository()


@pytest.fixture
def own_repository(repository: InMemoryPetRepository) -> InMemoryPetRepository:
    return repository


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> PassTime:
    async def move_clock(time_: timedelta) -> None:
        now: Callable[[], float] = getattr(memory, "monotonic")  # noqa: B009  # mypy hides it
        monkeypatch.setattr(memory, "monotonic", lambda: now() + time_.total_seconds())

    return move_clock


class TestInMemoryPetRepository(PetRepositoryContract):
    pass


@pytest.mark.anyio
async def test_adding_under_keys_takes_linear_time(repository: InMemoryPetRepository) -> None:
    """Each key that is added forgets a few expired ones, and looks at no others."""
    keys = {str(number): BOY for number in range(20_000)}
    began = time.process_time()
    await repository.add_once(keys)
    assert time.process_time() - began < 2
