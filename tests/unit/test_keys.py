"""The key that the store gets for the header `Idempotency-Key`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.bootstrap import create_app
from pets.domain.pet import NewPet
from pets.domain.repository import AddedOnce

BOY = {"name": "boy", "age": 7, "type": "dog"}


class RecordingRepository(InMemoryPetRepository):
    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    async def add_once(self, sets: Mapping[str, Sequence[NewPet]]) -> Mapping[str, AddedOnce]:
        self.keys += sets
        return await super().add_once(sets)


@pytest.fixture
def repository() -> RecordingRepository:
    return RecordingRepository()


def send(repository: RecordingRepository, line: bytes) -> Response:
    headers = [(b"idempotency-key", line)]
    with TestClient(create_app(repository=repository)) as client:
        return client.post("/pets/", json=BOY, headers=headers)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b"abc", "abc"),
        (b'"abc"', "abc"),
        (b' \t"abc"\t ', "abc"),
        (b"XabcX", "XabcX"),
        (b'"a \\"b\\" \\\\"', 'a "b" \\'),
        (b'"' + b'\\"' * 255 + b'"', '"' * 255),
    ],
)
def test_the_store_gets_a_key_without_quotes_and_escapes(
    repository: RecordingRepository, line: bytes, key: str
) -> None:
    assert send(repository, line).status_code == 201
    assert repository.keys == [key]


@pytest.mark.anyio
async def test_a_key_on_two_lines_is_joined_by_a_comma(repository: RecordingRepository) -> None:
    """RFC 9110, 5.3, says how the lines of a header are joined. `TestClient` would join them."""
    headers = [(b"idempotency-key", b'"a'), (b"idempotency-key", b'b"')]
    # Any: httpx and Litestar type an application differently.
    app: Any = create_app(repository=repository)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://pets.example") as client:
        response = await client.post("/pets/", json=BOY, headers=headers)
    assert response.status_code == 201
    assert repository.keys == ["a,b"]


@pytest.mark.parametrize("line", [b"\xa0abc", b"abc\x85", b'\x0b"abc"', b'"abc"\x0c'])
def test_only_blanks_and_tabs_may_surround_a_key(
    repository: RecordingRepository, line: bytes
) -> None:
    assert send(repository, line).status_code == 400
    assert repository.keys == []
