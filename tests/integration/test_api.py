"""The contract of the API over real databases."""

from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from pets.bootstrap import create_app
from pets.settings import Settings
from tests.api_contract import APIOverAnyStore, Client, empty
from tests.integration.conftest import over_every_store

pytestmark = pytest.mark.usefixtures("shared_connections")


@pytest.fixture(scope="module")
def used_client(database_url: str) -> Iterator[Client]:
    with TestClient(create_app(Settings(database_url=database_url))) as client:
        yield client


@pytest.fixture
def client(used_client: Client) -> Client:
    return empty(used_client)


@over_every_store
class TestAPIOverDatabases(APIOverAnyStore):
    pass
