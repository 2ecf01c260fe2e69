"""What the API promises, whatever the store."""

import time
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from pets.domain.pet import MAX_ID
from tests.factories import PetCreateFactory
from tests.hostile import BadRequest, bad_requests

TITLES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
}
Client = TestClient[Litestar]
NOT_FOUND = "Pet with the matching ID was not found."


def create(client: Client, **members: object) -> dict[str, Any]:
    body = msgspec.to_builtins(PetCreateFactory.build()) | members
    response = client.post("/pets/", json=body)
    assert response.status_code == 201, response.text
    pet: dict[str, Any] = response.json()
    return pet


def delete(client: Client, ids: list[int]) -> dict[str, Any]:
    response = client.request("DELETE", "/pets/", json={"ids": ids})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def listed(client: Client, query: str = "") -> dict[str, Any]:
    response = client.get(f"/pets/{query}")
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def empty(client: Client) -> Client:
    """Delete every pet; making an application anew for each test would take most of the tests' time."""
    while items := listed(client, "?limit=1000")["items"]:
        delete(client, [pet["id"] for pet in items])
    return client


class CreatingAPet:
    def test_answers_201_with_the_pet_and_where_it_is(self, client: Client) -> None:
        response = client.post("/pets/", json={"name": "boy", "age": 7, "type": "dog"})
        assert response.status_code == 201
        assert response.headers["content-type"] == "application/json"
        pet = response.json()
        assert response.headers["location"] == f"/pets/{pet['id']}"
        assert pet == {"id": pet["id"], "name": "boy", "age": 7, "type": "dog", "created_at": pet["created_at"]}

    def test_writes_the_members_in_their_order(self, client: Client) -> None:
        assert list(create(client)) == ["id", "name", "age", "type", "created_at"]

    def test_writes_the_time_in_whole_seconds_without_offset(self, client: Client) -> None:
        created_at = create(client)["created_at"]
        assert len(created_at) == len("2021-05-18T19:10:17")
        assert created_at[10] == "T"

    @pytest.mark.parametrize("name", [" boy", "boy ", "\t\n boy\u00a0\u2003\u3000\r\n"])
    def test_strips_white_space_at_both_ends_of_the_name(self, client: Client, name: str) -> None:
        assert create(client, name=name)["name"] == "boy"

    @pytest.mark.parametrize(
        "name", ["x", "x" * 100, " " * 999 + "x" * 100 + " " * 999, "小白", "🐕‍🦺", "\u200b", "a  b"]
    )
    def test_takes_names_of_1_to_100_characters_of_any_script(self, client: Client, name: str) -> None:
        assert create(client, name=name)["name"] == name.strip(" ")

    @pytest.mark.parametrize("age", [0, 1, 99, 100])
    def test_takes_ages_from_0_to_100(self, client: Client, age: int) -> None:
        assert create(client, age=age)["age"] == age

    @pytest.mark.parametrize("media_type", ["application/json", "Application/JSON ; charset=utf-8"])
    def test_takes_json_however_its_media_type_is_written(self, client: Client, media_type: str) -> None:
        body = b'{"name": "boy", "age": 7, "type": "dog"}'
        assert client.post("/pets/", content=body, headers={"content-type": media_type}).status_code == 201


class ListingPets:
    def test_of_an_empty_store_gives_none(self, client: Client) -> None:
        assert listed(client) == {"count": 0, "items": []}

    def test_gives_them_by_ascending_id_as_they_were_created(self, client: Client) -> None:
        pets = [create(client) for _ in range(3)]
        assert listed(client) == {"count": 3, "items": pets}

    def test_gives_20_unless_told_and_counts_all(self, client: Client) -> None:
        pets = [create(client) for _ in range(21)]
        assert listed(client) == {"count": 21, "items": pets[:20]}

    @pytest.mark.parametrize(
        ("limit", "expected"),
        [("0", 0), ("1", 1), ("3", 3), ("1000", 3), ("1001", 3), ("007", 3), ("9" * 30, 3), ("9" * 5000, 3)],
    )
    def test_gives_as_many_as_the_limit_says(self, client: Client, limit: str, expected: int) -> None:
        pets = [create(client) for _ in range(3)]
        assert listed(client, f"?limit={limit}") == {"count": 3, "items": pets[:expected]}

    def test_writes_count_before_items(self, client: Client) -> None:
        assert list(listed(client)) == ["count", "items"]


class DeletingPets:
    def test_tells_how_many_were_deleted_and_which_were_not_found(self, client: Client) -> None:
        first, second, third = (create(client)["id"] for _ in range(3))
        delete(client, [first])
        assert delete(client, [first, second, third]) == {"deleted": 2, "errors": [{"id": first, "error": NOT_FOUND}]}
        assert listed(client) == {"count": 0, "items": []}

    def test_leaves_the_others(self, client: Client) -> None:
        first, second = create(client), create(client)
        delete(client, [first["id"]])
        assert listed(client) == {"count": 1, "items": [second]}

    def test_counts_an_id_named_twice_once(self, client: Client) -> None:
        pet = create(client)["id"]
        assert delete(client, [pet, pet]) == {"deleted": 1, "errors": []}
        assert delete(client, [pet, pet]) == {"deleted": 0, "errors": [{"id": pet, "error": NOT_FOUND}]}

    def test_names_errors_in_the_order_of_the_request(self, client: Client) -> None:
        ids = [9, 3, 7, 3, 1, 9, 8]
        assert [error["id"] for error in delete(client, ids)["errors"]] == [9, 3, 7, 1, 8]

    @pytest.mark.parametrize("id_", [0, -1, MAX_ID, MAX_ID + 1, -MAX_ID - 2, 2**64, -(2**64), 10**400])
    def test_does_not_find_what_cannot_be_an_id(self, client: Client, id_: int) -> None:
        assert delete(client, [id_]) == {"deleted": 0, "errors": [{"id": id_, "error": NOT_FOUND}]}

    def test_of_nothing_deletes_nothing(self, client: Client) -> None:
        create(client)
        assert delete(client, []) == {"deleted": 0, "errors": []}
        assert listed(client)["count"] == 1

    def test_is_quick_with_ids_that_were_made_to_collide(self, client: Client) -> None:
        """Python's hash of an integer is its remainder by 2^61-1, so that of all of these is 0."""
        ids = [(2**61 - 1) * n for n in range(1, 10_001)]
        start = time.perf_counter()
        assert len(delete(client, ids)["errors"]) == 10_000
        assert time.perf_counter() - start < 0.5

    def test_takes_10000_ids(self, client: Client) -> None:
        pet = create(client)["id"]
        answer = delete(client, list(range(pet, pet + 10_000)))
        assert answer["deleted"] == 1
        assert len(answer["errors"]) == 9_999

    def test_never_lets_an_id_be_given_again(self, client: Client) -> None:
        pet = create(client)["id"]
        delete(client, [pet])
        assert create(client)["id"] > pet


class EveryPath:
    @pytest.mark.parametrize(("method", "status"), [("POST", 201), ("GET", 200), ("DELETE", 200)])
    def test_means_the_same_with_and_without_its_last_slash(self, client: Client, method: str, status: int) -> None:
        body = {"POST": b'{"name": "boy", "age": 7, "type": "dog"}', "DELETE": b'{"ids": []}'}.get(method, b"")
        for path in ("/pets", "/pets/"):
            response = client.request(method, path, content=body, headers={"content-type": "application/json"})
            assert response.status_code == status
            assert not response.history

    def test_names_its_methods_when_another_is_tried(self, client: Client) -> None:
        assert set(client.put("/pets/").headers["allow"].split(", ")) == {"DELETE", "GET", "OPTIONS", "POST"}

    def test_names_its_methods_when_asked(self, client: Client) -> None:
        response = client.options("/pets/")
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["allow"] == "DELETE, GET, OPTIONS, POST"


class BadRequests:
    @pytest.fixture(params=bad_requests(), ids=lambda bad: bad.name)
    def bad(self, request: pytest.FixtureRequest) -> BadRequest:
        bad: BadRequest = request.param
        return bad

    def test_are_refused_with_a_problem_document_and_change_nothing(self, client: Client, bad: BadRequest) -> None:
        before = [create(client) for _ in range(2)]

        response = client.request(bad.method, bad.path, content=bad.content, headers=bad.headers)

        assert response.status_code == bad.status
        assert response.headers["content-type"] == "application/problem+json"
        assert ("allow" in response.headers) == (bad.status == 405)
        problem = response.json()
        assert list(problem)[:5] == ["type", "title", "status", "detail", "instance"]
        assert problem["type"] == "about:blank"
        assert problem["title"] == TITLES[bad.status]
        assert problem["status"] == bad.status
        assert problem["detail"] not in {"", problem["title"]}
        assert problem["instance"] == bad.path.partition("?")[0]
        assert [error["pointer"] for error in problem.get("errors", [])] == (bad.pointers or [])
        assert all(error["detail"] for error in problem.get("errors", []))
        assert listed(client) == {"count": 2, "items": before}


class HealthChecks:
    def test_say_that_the_process_lives(self, client: Client) -> None:
        response = client.get("/health/live")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})

    def test_say_that_the_service_is_ready(self, client: Client) -> None:
        response = client.get("/health/ready")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})

    def test_say_that_a_stopping_service_is_not_ready(self, client: Client) -> None:
        client.app.state.stopping = True
        try:
            response = client.get("/health/ready")
            assert client.get("/health/live").status_code == 200
        finally:
            client.app.state.stopping = False
        assert (response.status_code, response.json()["status"]) == (503, 503)
        assert response.headers["retry-after"] == "5"


class TheDocument:
    @pytest.fixture
    def document(self, client: Client) -> dict[str, Any]:
        document: dict[str, Any] = client.get("/schema/openapi.json").json()
        return document

    def test_is_of_openapi_3_1(self, document: dict[str, Any]) -> None:
        assert document["openapi"].startswith("3.1")

    def test_names_the_paths_as_they_are_known(self, document: dict[str, Any]) -> None:
        assert set(document["paths"]) == {"/pets/", "/health/live", "/health/ready"}
        assert set(document["paths"]["/pets/"]) == {"get", "post", "delete"}

    def test_says_what_a_pet_to_be_created_is(self, document: dict[str, Any]) -> None:
        schema = document["components"]["schemas"]["PetCreate"]
        assert schema["additionalProperties"] is False
        assert schema["required"] == ["name", "age", "type"]
        assert (schema["properties"]["age"]["minimum"], schema["properties"]["age"]["maximum"]) == (0, 100)
        assert "pattern" in schema["properties"]["name"]
        assert document["paths"]["/pets/"]["post"]["requestBody"]["required"] is True

    def test_says_what_a_pet_is(self, document: dict[str, Any]) -> None:
        schema = document["components"]["schemas"]["Pet"]
        assert list(schema["properties"]) == schema["required"] == ["id", "name", "age", "type", "created_at"]
        assert schema["properties"]["id"]["maximum"] == MAX_ID
        assert "format" not in schema["properties"]["created_at"]
        assert document["components"]["schemas"]["PetType"]["enum"] == ["cat", "dog"]

    @pytest.mark.parametrize("name", ["PetPage", "PetsDeleted", "DeleteError", "Fault", "Health"])
    def test_says_that_every_member_of_an_answer_is_there(self, document: dict[str, Any], name: str) -> None:
        schema = document["components"]["schemas"][name]
        assert schema["required"] == list(schema["properties"])

    def test_says_how_many_items_there_can_be(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert schemas["PetPage"]["properties"]["items"]["maxItems"] == 1000
        assert schemas["PetsDelete"]["properties"]["ids"]["maxItems"] == 10_000

    def test_gives_every_error_as_a_problem(self, document: dict[str, Any]) -> None:
        for item in document["paths"].values():
            for operation in item.values():
                for status, response in operation["responses"].items():
                    expected = "application/json" if status < "400" else "application/problem+json"
                    assert list(response["content"]) == [expected]

    def test_gives_the_headers(self, document: dict[str, Any]) -> None:
        responses = document["paths"]["/pets/"]["post"]["responses"]
        assert responses["201"]["headers"]["Location"]["schema"]["type"] == "string"
        assert responses["503"]["headers"]["Retry-After"]["schema"]["type"] == "integer"


class APIContract(CreatingAPet, ListingPets, DeletingPets, EveryPath, BadRequests, HealthChecks, TheDocument):
    """A subclass's module has a fixture `client`, over an empty store."""
