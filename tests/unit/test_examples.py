"""The examples of problems in the OpenAPI document are what the service answers."""

from typing import Any, Final

import msgspec
import pytest
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.adapters.sqlalchemy.failures import Outcome, domain_error
from pets.api import health
from pets.api.api_keys import ApiKey, ApiKeys, KeyScope
from pets.api.application import Application
from pets.api.openapi import document
from pets.api.problem_document import Problem
from pets.api.problems import MEDIA_TYPE
from pets.api.schemas import MAX_NEW_PETS_BYTES
from pets.bootstrap import create_app
from pets.domain.errors import NoIdsLeft
from pets.domain.repository import PetRepository
from tests.unit.test_problems import FailingRepository

JSON = dict[str, Any]  # Any: whatever JSON can hold.

BOY: Final = {"name": "boy", "age": 7, "type": "dog"}
KEYS: Final = {scope: f"a secret to {scope}" for scope in KeyScope}
API_KEYS: Final = ApiKeys([ApiKey.of(scope, scope, secret) for scope, secret in KEYS.items()])


def app_over(repository: PetRepository) -> Application:
    return create_app(repository=repository, keys=API_KEYS)


OPERATIONS: Final[dict[str, tuple[str, str, JSON]]] = {}
"""The method, the path and the described answers of each operation."""
for _path, _item in document(app_over(InMemoryPetRepository()))["paths"].items():
    for _method, _operation in _item.items():
        _described = (_method, _path.replace("{pet_id}", "1"), _operation["responses"])
        OPERATIONS[_operation["operationId"]] = _described


def examples_of(operation: str, status: str) -> list[JSON]:
    described = OPERATIONS[operation][2][status]["content"][MEDIA_TYPE]
    if "example" in described:
        return [described["example"]]
    return [example["value"] for example in described["examples"].values()]


DOCUMENTED: Final = [
    (operation, status)
    for operation, (_, _, responses) in OPERATIONS.items()
    for status in responses
    if status >= "400"
]
BY_THE_SERVER: Final = {("isLive", "400"), ("isReady", "400"), ("deletePets", "431")}
"""These are answered before the application: tests/integration/test_examples.py."""

VALID: Final[dict[str, JSON]] = {
    "createPet": {"json": BOY},
    "replacePet": {"json": BOY},
    "updatePet": {"json": {}},
    "deletePets": {"json": {"ids": [1]}},
}
"""What a valid request of an operation has besides its path."""

INVALID: Final[dict[str, JSON]] = {
    "createPet": {"json": BOY | {"age": 101}},
    "replacePet": {"json": BOY | {"age": 101}},
    "updatePet": {"json": {"age": 101}},
    "countPets": {"params": {"age_min": -1}},
    "listPets": {"params": {"limit": -1}},
    "deletePets": {},
    "getPet": {"params": {"fields": "name"}},
    "deletePet": {"params": {"fields": "name"}},
}
TOO_LARGE: Final = {"content": bytes(MAX_NEW_PETS_BYTES + 1)}
NOT_JSON: Final = {"content": b"{}", "headers": {"Content-Type": "text/plain"}}
OTHER_TAG: Final = {"If-Match": '"00000000000000000000000000000000"'}
SAME_KEY: Final = {"Idempotency-Key": '"1"'}
FAILURES: Final[dict[str, list[Exception]]] = {
    "500": [RuntimeError()],
    "503": [domain_error(Outcome.NOT_DONE), domain_error(Outcome.UNKNOWN)],
    "507": [NoIdsLeft()],
}


def provoke(operation: str, status: str) -> list[JSON]:
    """Return the problems of this status that the operation answers, one for each example."""
    options = VALID.get(operation, {})
    key: str | None = KEYS[KeyScope.WRITE]
    is_empty = True
    stores: list[PetRepository] = [InMemoryPetRepository()]
    match status:
        case "400":
            options = INVALID[operation]
        case "401":
            key = None
        case "403":
            key = KEYS[KeyScope.READ]
        case "404":
            pass
        case "406":
            options = {"headers": {"Accept": "text/html"}}
        case "412":
            options = options | {"headers": OTHER_TAG}
            is_empty = False
        case "413":
            options = TOO_LARGE
        case "415":
            options = NOT_JSON
        case "422":
            options = {"json": BOY | {"name": "kit"}, "headers": SAME_KEY}
            is_empty = False
        case _:
            wanted = len(examples_of(operation, status))
            stores = [FailingRepository(error) for error in FAILURES[status][:wanted]]
    return [answer(store, operation, options, key, is_empty=is_empty) for store in stores]


def answer(
    store: PetRepository, operation: str, options: JSON, key: str | None, *, is_empty: bool
) -> JSON:
    """Send a request to an empty store, or to one with a pet, and return the problem."""
    method, path, _ = OPERATIONS[operation]
    with TestClient(app_over(store)) as client:
        if key:
            client.headers["X-API-Key"] = key
        if not is_empty:
            client.post("/pets/", json=BOY, headers=SAME_KEY)
        response = client.request(method, path, **options)
        assert response.headers["content-type"] == MEDIA_TYPE
        problem: JSON = response.json()
        assert response.status_code == problem["status"]
        return problem


@pytest.mark.parametrize(("operation", "status"), DOCUMENTED)
def test_an_example_has_its_own_status_and_fits_the_schema(operation: str, status: str) -> None:
    for example in examples_of(operation, status):
        problem = msgspec.convert(example, Problem)
        assert problem.status == int(status)
        assert msgspec.to_builtins(problem) == example


@pytest.mark.parametrize(
    ("operation", "status"), [case for case in DOCUMENTED if case not in BY_THE_SERVER]
)
def test_an_example_is_what_the_service_answers(
    operation: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (operation, status) == ("isLive", "500"):  # It asks nothing that could fail.
        monkeypatch.delattr(health, "Health")
    examples = examples_of(operation, status)
    for example, problem in zip(examples, provoke(operation, status), strict=True):
        assert example | {"request_id": problem["request_id"]} == problem


@pytest.mark.parametrize("operation", ["createPet", "updatePet", "deletePet", "deletePets"])
def test_a_change_has_an_example_of_an_unknown_outcome_too(operation: str) -> None:
    types = [example["type"] for example in examples_of(operation, "503")]
    assert types == ["/problems/not-done", "/problems/outcome-unknown"]


def test_the_document_holds_no_id_of_a_request() -> None:
    """It is written once, as the answer to some request."""
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        text = client.get("/schema/openapi.json", headers={"Request-Id": "unlikely"}).text
    assert "unlikely" not in text
