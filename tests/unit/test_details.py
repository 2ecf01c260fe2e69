"""The words in which problem documents say what is wrong with a request."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.api.cursors import write_cursor
from pets.bootstrap import create_app
from pets.domain.pet import Pet, PetType
from pets.domain.query import PetQuery
from tests.api_contract import Client

JSON = {"content-type": "application/json"}
BOY = b'{"name": "boy", "age": 7, "type": "dog"}'
AGES = "must be an integer from 0 to 100"
NAMES = "must be 1 to 100 characters, none of them a control character"
SORTS = "id, -id, name, -name, age, -age, created_at, -created_at"
KEYS = "must be 1 to 255 visible ASCII characters, best in quotes"
TAGS = "must be `*` or a list of entity tags"
FILTERS = (
    "limit, cursor, type, age_min, age_max, name, name_is, created_from, created_to, ids, sort"
)
TIMES = "a time in UTC like 2021-05-18T19:10:17, from 0001-01-02T00:00:00 to 9999-12-31T23:59:59"
LIMIT = "The query parameter `limit` must be an integer, 0 or more."
CURSOR = "The query parameter `cursor` must be one that was given with a page of this very query."

PET = Pet(1, "boy", 7, PetType.DOG, datetime.fromisoformat("2021-05-18T19:10:17"))
CURSOR_OF_DOGS = write_cursor(PetQuery(type=PetType.DOG).following(PET))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        client.post("/pets/", content=BOY, headers=JSON)
        yield client


def detail(
    client: Client, method: str, path: str, body: bytes = b"", headers: dict[str, str] = JSON
) -> str:
    response = client.request(method, path, content=body, headers=headers)
    assert response.status_code >= 400
    text: str = response.json()["detail"]
    return text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("name=%FF", "The query parameter `name` is not UTF-8."),
        (
            "colour=red",
            f"The query parameter `colour` is not known here. Known are: {FILTERS}.",
        ),
        ("limit=1&limit=1", "The query parameter `limit` is sent more than once."),
        ("limit=x", LIMIT),
        ("type=bird", 'The query parameter `type` must be "dog" or "cat".'),
        ("age_min=x", f"The query parameter `age_min` {AGES}."),
        ("age_min=101", f"The query parameter `age_min` {AGES}."),
        ("age_max=101", f"The query parameter `age_max` {AGES}."),
        ("name=", f"The query parameter `name` {NAMES}."),
        ("sort=x", f"The query parameter `sort` must be one of {SORTS}."),
        ("cursor=A", CURSOR),
        (
            "limit=x&name=&type=bird",
            f"{LIMIT} The query has 3 faults, which `errors` lists.",
        ),
        (f"cursor={CURSOR_OF_DOGS}", CURSOR),
        ("created_to=2021-05-18", f"The query parameter `created_to` must be {TIMES}."),
        ("ids=1&" * 1001, "The query parameter `ids` is sent more than 1,000 times."),
    ],
)
def test_a_bad_query_of_a_listing_is_explained(client: Client, query: str, words: str) -> None:
    assert detail(client, "GET", f"/pets/?{query}") == words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("id=1", "The query parameter `id` is not known here. Known are: ids."),
        ("ids=x", "The query parameter `ids` must be an integer of at most 4,300 digits."),
        ("ids=1&" * 10_001, "The query parameter `ids` is sent more than 10,000 times."),
    ],
    ids=["unknown", "no integer", "too many"],
)
def test_a_bad_query_of_a_deletion_is_explained(client: Client, query: str, words: str) -> None:
    assert detail(client, "DELETE", f"/pets/?{query}") == words


def test_a_query_of_an_operation_that_takes_none_is_explained(client: Client) -> None:
    words = "The query parameter `dry_run` is not known here. Known are: none."
    assert detail(client, "POST", "/pets/?dry_run=1", BOY) == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The request has no body, but this operation takes JSON."),
        (b"[", "The body cannot be read as JSON: Input data was truncated."),
        (b"[" * 10_000, "The body is nested too deeply."),
        (b"{}", "The body is not a valid PetCreate."),
    ],
    ids=["none", "no JSON", "deep", "no pet"],
)
def test_a_bad_body_is_explained(client: Client, body: bytes, words: str) -> None:
    assert detail(client, "POST", "/pets/", body) == words


@pytest.mark.parametrize(
    ("method", "path", "types"),
    [
        ("POST", "/pets/", "`application/json` or `application/x-ndjson` or `text/csv`"),
        ("PATCH", "/pets/1", "`application/json` or `application/merge-patch+json`"),
    ],
)
def test_another_media_type_is_told_the_right_ones(
    client: Client, method: str, path: str, types: str
) -> None:
    words = f"The body must be {types}, and the header Content-Type must say so."
    assert detail(client, method, path, b"{}", {"content-type": "text/plain"}) == words


@pytest.mark.parametrize(
    ("header", "value", "words"),
    [
        ("content-encoding", "gzip", "The body must be sent without a Content-Encoding."),
        ("idempotency-key", "a b", f"The header `Idempotency-Key` {KEYS}."),
        ("if-match", "x", f"The header `If-Match` {TAGS}."),
        ("if-none-match", "x", f"The header `If-None-Match` {TAGS}."),
    ],
)
def test_a_bad_header_is_explained(client: Client, header: str, value: str, words: str) -> None:
    assert detail(client, "POST", "/pets/", BOY, JSON | {header: value}) == words
