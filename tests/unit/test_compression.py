"""Documents are sent compressed to clients that accept it."""

import gzip
from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.bootstrap import create_app
from tests.api_contract import Client, create

DOCUMENTS = ["/docs", "/docs/docs.css", "/docs/swagger-ui/swagger-ui.css"]
SCHEMAS = ["/schema", "/schema/openapi.json"]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        yield client


def raw(client: Client, path: str, accepted: str) -> tuple[dict[str, str], bytes]:
    """Return the headers, and the body as it was sent."""
    with client.stream("GET", path, headers={"accept-encoding": accepted}) as response:
        return dict(response.headers), b"".join(response.iter_raw())


@pytest.mark.parametrize("path", DOCUMENTS + SCHEMAS)
@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.1", "gzip;q=1.0, *;q=0"])
def test_a_client_that_accepts_gzip_gets_it(client: Client, path: str, accepted: str) -> None:
    _, plain = raw(client, path, "identity")
    headers, body = raw(client, path, accepted)
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) == len(body) < len(plain)
    assert gzip.decompress(body) == plain


@pytest.mark.parametrize("path", DOCUMENTS + SCHEMAS)
@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "xgzip"])
def test_another_client_gets_none(client: Client, path: str, accepted: str) -> None:
    headers, _ = raw(client, path, accepted)
    assert "content-encoding" not in headers


@pytest.mark.parametrize("path", DOCUMENTS + SCHEMAS)
@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_a_cache_learns_that_the_body_depends_on_the_coding(
    client: Client, path: str, accepted: str
) -> None:
    assert raw(client, path, accepted)[0]["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", DOCUMENTS)
def test_the_tag_of_one_coding_does_not_stand_for_the_other(client: Client, path: str) -> None:
    tags = {raw(client, path, accepted)[0]["etag"] for accepted in ("gzip", "identity")}
    assert len(tags) == 2
    for tag in tags:
        statuses = set()
        for accepted in ("gzip", "identity"):
            headers = {"accept-encoding": accepted, "if-none-match": tag}
            response = client.get(path, headers=headers)
            statuses.add(response.status_code)
            assert response.headers["vary"] == "Accept-Encoding"
        assert statuses == {200, 304}


def test_of_very_many_codings_only_the_first_are_read(client: Client) -> None:
    assert "content-encoding" in raw(client, "/docs", "x," * 19 + "gzip")[0]
    assert "content-encoding" not in raw(client, "/docs", "x," * 20_000 + "gzip")[0]


def test_pets_are_not_compressed(client: Client) -> None:
    create(client)
    headers, _ = raw(client, "/pets/", "gzip")
    assert "content-encoding" not in headers
    assert "Accept-Encoding" not in headers.get("vary", "")
