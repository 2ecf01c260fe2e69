"""A pet changes between the look at its tag and the act that the tag allows."""

from collections.abc import Collection, Mapping

import pytest
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.api.conditions import MAX_TRIES
from pets.bootstrap import create_app
from pets.domain.pet import Pet, PetChange


class RacingRepository(InMemoryPetRepository):
    """Another caller comes between the first looks, two at first, and the acts that follow them."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.lost = 2

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        found = await super().find(ids)
        self.looks += 1
        if self.looks <= self.lost:
            await super().change({1: PetChange(age=self.looks)})
        return found


@pytest.fixture
def repository() -> RacingRepository:
    return RacingRepository()


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("condition", "status", "looks"),
    [
        ({}, 200, 0),
        ({"if-match": "{}"}, 412, 1),
        ({"if-match": '{}, "x"'}, 412, 1),
        ({"if-match": "*"}, 200, 0),
        ({"if-none-match": '"x"'}, 200, 3),
        ({"if-none-match": "{}"}, 412, 1),
    ],
)
def test_only_a_condition_that_may_still_hold_gets_another_look(
    repository: RacingRepository, method: str, condition: dict[str, str], status: int, looks: int
) -> None:
    with TestClient(create_app(repository=repository)) as client:
        client.post("/pets/", json={"name": "boy", "age": 7, "type": "dog"})
        repository.looks = 2  # The race begins after the tag is known.
        tag = client.get("/pets/1").headers["etag"]
        repository.looks = 0
        headers = {name: value.format(tag) for name, value in condition.items()}
        body = {"name": "girl"} if method == "PATCH" else None
        response = client.request(method, "/pets/1", json=body, headers=headers)
    assert response.status_code == (204 if (method, status) == ("DELETE", 200) else status)
    assert repository.looks == looks


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_pet_that_never_stops_changing_is_looked_at_only_a_few_times(
    repository: RacingRepository, method: str
) -> None:
    with TestClient(create_app(repository=repository)) as client:
        client.post("/pets/", json={"name": "boy", "age": 7, "type": "dog"})
        repository.lost = 100
        headers = {"if-none-match": '"x"'}
        body = {"name": "girl"} if method == "PATCH" else None
        response = client.request(method, "/pets/1", json=body, headers=headers)
        assert (response.status_code, response.json()["type"]) == (503, "/problems/not-done")
        assert repository.looks == MAX_TRIES
        assert client.get("/pets/1").json()["name"] == "boy"
