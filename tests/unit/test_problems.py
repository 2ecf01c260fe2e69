"""The answers that clients get when something inside the service fails."""

import logging
import re
from typing import Never

import msgspec
import pytest
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.bootstrap import create_app
from pets.domain.errors import InvalidPet, NoIdsLeft, OutcomeUnknown, StoreUnavailable
from pets.domain.repository import PetRepository
from tests.factories import PetCreateFactory


class FailingRepository(InMemoryPetRepository):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def _fail(self, *_: object, **__: object) -> Never:
        raise self.error

    add = add_once = find = pages = counts = change = remove = check = _fail


REQUESTS = [
    ("GET", "/pets/", None),
    ("POST", "/pets/", msgspec.to_builtins(PetCreateFactory.build())),
    ("DELETE", "/pets/", {"ids": [1]}),
    ("GET", "/pets/1", None),
    ("PATCH", "/pets/1", {}),
    ("DELETE", "/pets/1", None),
]


def answer(
    repository: PetRepository, method: str, path: str, body: object
) -> tuple[int, dict[str, str], str]:
    with TestClient(create_app(repository=repository)) as client:
        response = client.request(method, path, json=body)
        return response.status_code, dict(response.headers), response.text


@pytest.mark.parametrize(("method", "path", "body"), [*REQUESTS, ("GET", "/health/ready", None)])
def test_an_unreachable_store_is_a_503_with_retry_after(
    method: str, path: str, body: object
) -> None:
    """The answer has the message of the error, but not its cause."""
    error = StoreUnavailable("The store is away.")
    error.__cause__ = OSError("secret")
    status, headers, text = answer(FailingRepository(error), method, path, body)
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    assert headers["retry-after"] == "5"
    assert "The store is away." in text
    assert "secret" not in text


def test_a_store_without_ids_is_a_507_that_asks_nobody_to_try_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    status, headers, text = answer(FailingRepository(NoIdsLeft()), *REQUESTS[1])
    assert (status, headers["content-type"]) == (507, "application/problem+json")
    assert "retry-after" not in headers
    assert "The store has no ids left for new pets." in text
    assert len(caplog.records) == 1
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("error", "type_"),
    [(StoreUnavailable, "/problems/not-done"), (OutcomeUnknown, "/problems/outcome-unknown")],
)
def test_the_type_of_a_503_says_whether_a_change_may_have_been_made(
    error: type[StoreUnavailable], type_: str
) -> None:
    """The type is the path of a page that explains it."""
    with TestClient(create_app(repository=FailingRepository(error("gone")))) as client:
        problem = client.delete("/pets/1").json()
        page = client.get(problem["type"])
    assert problem["type"] == type_
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/plain")


TYPES = {
    "/problems/invalid-body": 400,
    "/problems/invalid-query": 400,
    "/problems/invalid-header": 400,
    "/problems/pet-not-found": 404,
    "/problems/key-reused": 422,
    "/problems/no-ids-left": 507,
    "/problems/not-done": 503,
    "/problems/outcome-unknown": 503,
}
"""The status of each type. Clients compare types, so they never change."""


@pytest.mark.parametrize("type_", TYPES)
def test_a_type_has_a_page_that_explains_it(type_: str) -> None:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        page = client.get(type_)
    assert page.headers["content-type"].startswith("text/plain")
    title = type_.removeprefix("/problems/").replace("-", " ").capitalize()
    assert page.text.startswith(f"{title} (status {TYPES[type_]})\n\n")


def test_the_document_lists_the_types() -> None:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        schemas = client.get("/schema/openapi.json").json()["components"]["schemas"]
    described = schemas["Problem"]["properties"]["type"]["description"]
    assert set(re.findall("/problems/[a-z-]+", described)) == TYPES.keys()


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_a_malformed_header_has_a_type_of_its_own(header: str) -> None:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        problem = client.get("/pets/", headers={header: "x"}).json()
    assert (problem["status"], problem["type"]) == (400, "/problems/invalid-header")


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_a_bug_is_a_500_that_reveals_nothing(method: str, path: str, body: object) -> None:
    repository = FailingRepository(RuntimeError("secret"))
    status, headers, text = answer(repository, method, path, body)
    assert (status, headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in text


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_a_bug_leaves_its_traceback_in_the_log(
    method: str, path: str, body: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer(FailingRepository(RuntimeError("secret")), method, path, body)
    assert "RuntimeError: secret" in caplog.text


def test_an_invalid_pet_from_the_store_is_a_500() -> None:
    status, _, text = answer(FailingRepository(InvalidPet("secret")), *REQUESTS[0])
    assert status == 500
    assert "secret" not in text
