"""Entity tags, and the headers that name them."""

from collections.abc import Iterator
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.api.conditions import entity_tag
from pets.bootstrap import create_app
from tests.api_contract import Client, create


@pytest.fixture
def client() -> Iterator[Client]:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        yield client


def test_a_tag_is_the_same_in_every_process_and_version() -> None:
    """Otherwise clients would load all pets again after an update of the service."""
    assert entity_tag(b'{"id":1}') == b'"6dbc2ea685505a5de3248e0c8a59ab5c"'


@pytest.mark.anyio
async def test_tags_on_two_lines_are_one_list() -> None:
    """`TestClient` would join the lines itself."""
    # Any: httpx and Litestar type an application differently.
    app: Any = create_app(repository=InMemoryPetRepository())
    async with AsyncClient(transport=ASGITransport(app), base_url="http://pets.example") as client:
        await client.post("/pets/", json={"name": "boy", "age": 7, "type": "dog"})
        tag = (await client.get("/pets/1")).headers["etag"]
        headers = [("if-none-match", '"x"'), ("if-none-match", tag)]
        response = await client.get("/pets/1", headers=headers)
    assert response.status_code == 304


@pytest.mark.parametrize("header", [b"if-match", b"if-none-match"])
@pytest.mark.parametrize("value", [b"\x0b*", b"*\x0c", b'"x"\x0b', b"X*", b"*X", b'X"x"', b'"x"X'])
def test_only_blanks_and_tabs_may_surround_tags(
    client: Client, header: bytes, value: bytes
) -> None:
    pet = create(client)["id"]
    assert client.get(f"/pets/{pet}", headers=[(header, value)]).status_code == 400


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/docs.js", "/docs/docs.css", "/docs/swagger-ui/swagger-ui.css"]
)
def test_a_page_that_the_browser_has_is_not_sent_again(client: Client, path: str) -> None:
    tag = client.get(path).headers["etag"]
    answer = client.get(path, headers={"if-none-match": tag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
