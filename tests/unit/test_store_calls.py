"""The calls of the store, observed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pets.adapters.memory import InMemoryPetRepository
from pets.domain.pet import PetChange
from pets.domain.query import PetQuery
from pets.telemetry.store_calls import ObservedPetRepository
from tests.port_contract import BOY, PetRepositoryContract


@contextmanager
def ignore(_name: str, _items: int) -> Iterator[None]:
    yield


@pytest.fixture
def repository() -> ObservedPetRepository:
    return ObservedPetRepository(InMemoryPetRepository(), ignore)


class TestObservedPetRepository(PetRepositoryContract):
    pass


@pytest.mark.anyio
async def test_each_call_is_observed_with_its_number_of_pets_ids_or_queries() -> None:
    events: list[object] = []

    @contextmanager
    def observe(name: str, items: int) -> Iterator[None]:
        events.append((name, items))
        yield
        events.append("end")

    repository = ObservedPetRepository(InMemoryPetRepository(), observe)
    await repository.add([BOY, BOY])
    await repository.add_once({"key": [BOY]})
    await repository.find([1, 2, 3])
    await repository.pages([PetQuery(), PetQuery(limit=1)])
    await repository.change({1: PetChange(age=1)})
    await repository.remove([1, 2])
    await repository.counts()
    await repository.check()
    observed = [
        ("add", 2),
        ("add_once", 1),
        ("find", 3),
        ("pages", 2),
        ("change", 1),
        ("remove", 2),
        ("counts", 1),
    ]
    assert events == [part for call in [*observed, ("check", 0)] for part in (call, "end")]
