"""API keys: what a file may hold, and which requests a key lets in."""

import re
from collections.abc import Iterator
from typing import Final

import pytest
from httpx import Headers
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.api.api_keys import (
    ApiKey,
    ApiKeys,
    InvalidKeys,
    KeyScope,
    new_secret,
    parse_keys,
    text_of,
)
from pets.api.application import Application
from pets.bootstrap import create_app

BOY = {"name": "boy", "age": 7, "type": "dog"}
READER = "a secret to read"
WRITER = "a secret to write"
OTHER = "another secret to write"
KEYS = [
    ApiKey.of("reader", KeyScope.READ, READER),
    ApiKey.of("writer", KeyScope.WRITE, WRITER),
    ApiKey.of("other", KeyScope.WRITE, OTHER),
]
DIGEST = "0" * 64

EITHER: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"apiKey": []}]
"""What a closed operation needs, in the OpenAPI document."""

Client = TestClient[Application]


@pytest.fixture
def client() -> Iterator[Client]:
    app = create_app(repository=InMemoryPetRepository(), keys=ApiKeys(KEYS))
    with TestClient(app) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_file_has_a_key_a_line() -> None:
    text = "\n".join(["# our keys", "", *(key.to_line() for key in KEYS), ""])
    assert parse_keys(text) == KEYS


@pytest.mark.parametrize(
    "line",
    [
        "reader",
        f"reader {DIGEST}",
        f"reader admin {DIGEST}",
        f"reader READ {DIGEST}",
        f"a/b read {DIGEST}",
        f"{'a' * 65} read {DIGEST}",
        f"reader read {DIGEST[1:]}",
        f"reader read {DIGEST[1:]}A",
        f"reader read {DIGEST} more",
    ],
)
def test_a_bad_line_is_named_but_not_shown(line: str) -> None:
    with pytest.raises(InvalidKeys) as caught:
        parse_keys(f"# first\n{line}\n")
    assert str(caught.value) == "line 2 is not a name, read or write, and a SHA-256 in hex"


def test_a_name_may_occur_once() -> None:
    line = f"reader read {DIGEST}"
    with pytest.raises(InvalidKeys, match="line 2 has the name of an earlier line"):
        parse_keys(f"{line}\n{line}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no key"),
        ("\n", "holds no key"),
        ("# none\n", "holds no key"),
        (KEYS[0].to_line(), "if it is whole, add one"),
        (f"{KEYS[0].to_line()}\n# the next", "if it is whole, add one"),
    ],
)
def test_a_file_that_may_not_be_complete_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidKeys, match=reason):
        parse_keys(text)


def test_a_byte_order_mark_is_left_out() -> None:
    assert text_of(b"\xef\xbb\xbf# keys") == "# keys"


@pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a\n", "a" * 65])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidKeys):
        ApiKey.of(name, KeyScope.READ, "secret")


def test_new_keys_differ_and_have_256_bits() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch("[A-Za-z0-9_-]{43}", secret) for secret in secrets)


@pytest.mark.parametrize(
    "headers",
    [
        bearer(WRITER),
        {"Authorization": f"bearer  {WRITER}"},
        {"X-API-Key": WRITER},
        {"X-API-Key": WRITER, "Authorization": f"Bearer {WRITER}"},
        {"X-API-Key": WRITER, "Authorization": "Basic cGV0czpwZXRz"},
        {"X-API-Key": WRITER, "Authorization": "Bearer a.token.of-the-gateway"},
        {"X-API-Key": WRITER, "Authorization": "Bearer"},
        {"X-API-Key": WRITER, "Authorization": ""},
        {"X-API-Key": "a key of the gateway", "Authorization": f"Bearer {WRITER}"},
        {"X-API-Key": "", "Authorization": f"Bearer {WRITER}"},
    ],
)
def test_a_valid_key_lets_a_request_in(client: Client, headers: dict[str, str]) -> None:
    assert client.post("/pets/", json=BOY, headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["/pets/", "/pets/1", "/", "/nothing", "/pets%2f1", "//docs"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_a_request_without_a_key_is_401(client: Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        bearer("wrong"),
        bearer(""),
        bearer(WRITER.upper()),
        bearer(DIGEST),
        {"X-API-Key": ""},
        {"X-API-Key": f"{READER},{WRITER}"},
        {"X-API-Key": "wrong", "Authorization": "Bearer wrong too"},
        {"X-API-Key": READER, "Authorization": f"Bearer {WRITER}"},
    ],
)
def test_a_request_with_a_wrong_key_is_401(client: Client, headers: dict[str, str]) -> None:
    response = client.get("/pets/", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(("first", "second"), [(READER, WRITER), (WRITER, READER), (WRITER, OTHER)])
def test_two_valid_keys_are_refused_because_only_one_can_count(
    client: Client, first: str, second: str
) -> None:
    response = client.get("/pets/", headers=bearer(first) | {"X-API-Key": second})
    assert response.status_code == 401
    assert response.json()["detail"] == "The request has two API keys. Send only one."


@pytest.mark.parametrize(("header", "form"), [("X-API-Key", "{}"), ("Authorization", "Bearer {}")])
@pytest.mark.parametrize("sent", [("wrong", WRITER), (WRITER, "wrong")])
def test_a_header_with_several_keys_is_refused(
    client: Client, header: str, form: str, sent: tuple[str, str]
) -> None:
    """A proxy that limits the rate of each key may read another line than the service."""
    fields = [(header, form.format(secret)) for secret in sent]
    response = client.get("/pets/", headers=Headers(fields))
    assert (response.status_code, response.json()["detail"]) == (401, "The API key is not valid.")


def test_the_other_header_does_not_widen_what_a_key_may_do(client: Client) -> None:
    headers = bearer("wrong") | {"X-API-Key": READER}
    assert client.post("/pets/", json=BOY, headers=headers).status_code == 403


def test_a_problem_about_a_key_is_a_problem_document(client: Client) -> None:
    response = client.get("/pets/?name=x", headers=bearer("wrong"))
    assert response.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "The API key is not valid.",
        "instance": "/pets/",
        "request_id": response.headers["request-id"],
    }


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 200), ("HEAD", 200), ("OPTIONS", 204), ("POST", 403), ("DELETE", 403), ("X", 403)],
)
def test_a_reader_may_only_read(client: Client, method: str, status: int) -> None:
    response = client.request(method, "/pets/", headers=bearer(READER))
    assert response.status_code == status


def test_a_reader_that_writes_is_told_what_its_key_lacks(client: Client) -> None:
    response = client.post("/pets/", json=BOY, headers=bearer(READER))
    assert response.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
    assert response.json()["detail"] == "This API key may only read."


@pytest.mark.parametrize(
    "path",
    [
        "/health/live",
        "/health/live/",
        "/health/ready",
        "/docs",
        "/docs/docs.js",
        "/docs/docs.css",
        "/schema/openapi.json",
        "/problems/not-done",
    ],
)
def test_health_and_the_description_of_the_api_need_no_key(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_an_idempotency_key_belongs_to_the_api_key_that_sent_it(client: Client) -> None:
    ids = []
    for secret in (WRITER, OTHER, WRITER):
        headers = bearer(secret) | {"Idempotency-Key": "same"}
        ids.append(client.post("/pets/", json=BOY, headers=headers).json()["id"])
    assert ids[0] == ids[2] != ids[1]


def test_the_document_says_which_operations_need_a_key(client: Client) -> None:
    document = client.get("/schema/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            is_open = path.startswith("/health")
            assert operation.get("security") == (None if is_open else EITHER)
            assert ("401" in operation["responses"]) == (not is_open)
            assert ("403" in operation["responses"]) == (not is_open and method != "get")


def test_the_document_of_an_open_service_has_no_schemes() -> None:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        document = client.get("/schema/openapi.json").json()
    assert "securitySchemes" not in document["components"]


def test_no_shared_cache_keeps_an_answer_that_needed_a_key(client: Client) -> None:
    response = client.get("/pets/", headers=bearer(READER))
    assert response.headers["cache-control"] == "private, no-cache"
