"""The contract of the API over the repository in memory."""

from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.bootstrap import create_app
from tests.api_contract import APIContract, Client, empty


@pytest.fixture(scope="module")
def used_client() -> Iterator[Client]:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        yield client


@pytest.fixture
def client(used_client: Client) -> Client:
    return empty(used_client)


class TestAPIOverMemory(APIContract):
    pass
