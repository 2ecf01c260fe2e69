"""The data provider of react-admin, in Node, with a running service."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.node import ROOT, needs_node, run_node
from tests.integration.served import Served, served

pytestmark = [needs_node, pytest.mark.thorough]

PROVIDER = ROOT / "examples" / "react-admin" / "dataProvider.js"
PROGRAM = """
import { petsDataProvider } from "./dataProvider.mjs";

const requests = [];
const send = fetch;
globalThis.fetch = (url, options) => {
  const path = url.replace(process.argv[2], "").replace(/cursor=.*/, "…");
  requests.push(`${options.method} ${path}`);
  return send(url, options);
};
const provider = petsDataProvider(process.argv[2]);
const caught = async (promise) => {
  const { message, status, body } = await promise.then(() => { throw "no error"; }, (e) => e);
  return { message, status, body };
};
const sort = { field: "age", order: "ASC" };
const page = (page, perPage, rest) =>
  provider.getList("pets", { pagination: { page, perPage }, sort, ...rest });
const ages = (answer) => answer.data.map((pet) => pet.age);
const main = async (ids) => { %s };
console.log(JSON.stringify(await main(JSON.parse(process.argv[3]))));
"""

Use = Callable[[str], Any]  # Any: what the program returns, as JSON.


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served("memory://") as service:
        yield service


@pytest.fixture
def ids(api: Served) -> list[int]:
    """The ids of five new pets, the only ones. Their ages are 0, 1, 2, 3 and 4."""
    old = api.request("GET", "/pets/?limit=1000").json()["items"]
    api.request("DELETE", "/pets/", json={"ids": [pet["id"] for pet in old]})
    new = [
        {"name": f"pet {age}", "age": age, "type": "cat" if age % 2 else "dog"} for age in range(5)
    ]
    return [pet["id"] for pet in api.request("POST", "/pets/", json=new).json()]


@pytest.fixture
def use(api: Served, ids: list[int], tmp_path: Path) -> Use:
    """Runs the body of a function that uses the provider, and returns what it returns."""
    # Its name says that it is a module. In an application the package says so.
    shutil.copy(PROVIDER, tmp_path / "dataProvider.mjs")

    def use(body: str) -> Any:
        (tmp_path / "main.mjs").write_text(PROGRAM % body)
        return json.loads(run_node(tmp_path, "main.mjs", api.url, json.dumps(ids)))

    return use


def test_a_record_has_its_time_in_utc(use: Use, api: Served, ids: list[int]) -> None:
    pet = api.request("GET", f"/pets/{ids[0]}").json()
    time = pet["created_at"] + "Z"
    assert use('return provider.getOne("pets", { id: ids[0] });') == {
        "data": pet | {"created_at": time}
    }


def test_a_list_has_a_page_and_the_total(use: Use) -> None:
    found = use("const answer = await page(1, 2); return [ages(answer), answer.total];")
    assert found == [[0, 1], 5]


def test_a_list_is_sorted_both_ways(use: Use) -> None:
    found = use('return ages(await page(1, 2, { sort: { field: "age", order: "DESC" } }));')
    assert found == [4, 3]


def test_a_list_takes_the_filters_of_the_api(use: Use) -> None:
    found = use('return ages(await page(1, 9, { filter: { type: "cat", age_min: 2, name: "" } }));')
    assert found == [3]


def test_a_list_is_searched_by_name(use: Use) -> None:
    assert use('return ages(await page(1, 9, { filter: { q: "PET 4" } }));') == [4]


def test_a_list_needs_no_parameters(use: Use) -> None:
    assert use('return ages(await provider.getList("pets", {}));') == [0, 1, 2, 3, 4]


def test_the_next_page_takes_one_request(use: Use) -> None:
    found = use(
        "const all = [ages(await page(1, 2)), ages(await page(2, 2))]; return [all, requests];"
    )
    assert found == [
        [[0, 1], [2, 3]],
        ["GET /pets/?sort=age&limit=2", "GET /pets/?sort=age&limit=2&…"],
    ]


def test_a_jump_to_a_page_skips_the_pets_before_it_at_once(use: Use) -> None:
    found = use("const answer = await page(3, 2); return [ages(answer), answer.total, requests];")
    assert found == [
        [4],
        5,
        ["GET /pets/?sort=age&limit=4", "GET /pets/?sort=age&limit=2&…"],
    ]


def test_a_page_after_the_last_is_empty(use: Use) -> None:
    found = use("const answer = await page(9, 2); return [ages(answer), answer.total];")
    assert found == [[], 5]


def test_more_than_a_thousand_pets_come_in_one_list(use: Use, api: Served) -> None:
    api.request("POST", "/pets/", json=[{"name": "many", "age": 9, "type": "dog"}] * 1000)
    assert use("return (await page(1, 2000)).data.length;") == 1005


def test_a_page_is_right_after_a_pet_before_it_was_deleted(use: Use) -> None:
    found = use("""
        await page(1, 2);
        await provider.delete("pets", { id: ids[0] });
        return ages(await page(2, 2));
    """)
    assert found == [3, 4]


def test_many_are_got_by_their_ids(use: Use) -> None:
    found = use('return ages(await provider.getMany("pets", { ids: [ids[0], ids[3]] }));')
    assert found == [0, 3]


def test_no_ids_get_no_pets(use: Use) -> None:
    assert use('return provider.getMany("pets", { ids: [] });') == {"data": []}


def test_hundreds_of_ids_get_all_their_pets(use: Use, api: Served) -> None:
    new = [{"name": "many", "age": 9, "type": "dog"}] * 450
    many = [pet["id"] for pet in api.request("POST", "/pets/", json=new).json()]
    found = use(f'return (await provider.getMany("pets", {{ ids: {many} }})).data;')
    assert [pet["id"] for pet in found] == many


def test_many_are_got_by_a_reference(use: Use) -> None:
    found = use("""
        const answer = await provider.getManyReference("pets", {
          target: "type", id: "cat", filter: { age_max: 3 },
          pagination: { page: 1, perPage: 1 }, sort: { field: "age", order: "DESC" },
        });
        return [ages(answer), answer.total];
    """)
    assert found == [[3], 2]


def test_a_pet_is_created(use: Use, api: Served) -> None:
    data = '{ name: "new", age: 7, type: "dog", created_at: null }'
    created = use(f'return provider.create("pets", {{ data: {data} }});')["data"]
    pet = api.request("GET", f"/pets/{created['id']}").json()
    assert created == pet | {"created_at": pet["created_at"] + "Z"}


def test_an_error_names_the_faults_for_a_form(use: Use) -> None:
    data = '{ name: "new", age: 101, type: "dog" }'
    error = use(f'return caught(provider.create("pets", {{ data: {data} }}));')
    assert error["status"] == 400
    assert error["message"] == "The body is not a valid PetCreate."
    assert error["body"]["errors"] == {"age": "must be an integer from 0 to 100, in whole years"}


def test_a_pet_is_updated(use: Use, api: Served, ids: list[int]) -> None:
    updated = use("""
        const { data: previousData } = await provider.getOne("pets", { id: ids[0] });
        const data = { ...previousData, name: "other" };
        return provider.update("pets", { id: ids[0], data, previousData });
    """)["data"]
    assert updated["name"] == api.request("GET", f"/pets/{ids[0]}").json()["name"] == "other"


def test_the_update_of_somebody_else_is_not_overwritten(
    use: Use, api: Served, ids: list[int]
) -> None:
    error = use("""
        const { data: previousData } = await provider.getOne("pets", { id: ids[0] });
        await provider.update("pets", { id: ids[0], data: { age: 50 }, previousData });
        const data = { ...previousData, name: "other" };
        return caught(provider.update("pets", { id: ids[0], data, previousData }));
    """)
    assert error["status"] == 412
    assert api.request("GET", f"/pets/{ids[0]}").json()["name"] == "pet 0"


def test_an_update_between_the_check_and_the_change_is_not_overwritten(
    use: Use, api: Served, ids: list[int]
) -> None:
    error = use("""
        const other = petsDataProvider(process.argv[2]);
        const { data: previousData } = await provider.getOne("pets", { id: ids[0] });
        const counted = globalThis.fetch;
        globalThis.fetch = async (url, options) => {
          globalThis.fetch = counted;
          const answer = await counted(url, options);
          await other.updateMany("pets", { ids: [ids[0]], data: { age: 50 } });
          return answer;
        };
        const data = { name: "other" };
        return caught(provider.update("pets", { id: ids[0], data, previousData }));
    """)
    assert error["status"] == 412
    assert api.request("GET", f"/pets/{ids[0]}").json()["name"] == "pet 0"


def test_many_are_updated(use: Use, api: Served, ids: list[int]) -> None:
    some = ids[:2]
    data = "{ age: 50, id: 1 }"
    assert use(f'return provider.updateMany("pets", {{ ids: {some}, data: {data} }});') == {
        "data": some
    }
    assert [api.request("GET", f"/pets/{id_}").json()["age"] for id_ in ids] == [50, 50, 2, 3, 4]


def test_a_pet_is_deleted(use: Use, api: Served, ids: list[int]) -> None:
    found = use("""
        const { data: previousData } = await provider.getOne("pets", { id: ids[0] });
        return provider.delete("pets", { id: ids[0], previousData });
    """)
    assert found["data"]["name"] == "pet 0"
    assert api.request("GET", f"/pets/{ids[0]}").status_code == 404


def test_a_pet_that_is_gone_is_an_error_404(use: Use) -> None:
    found = use("""
        await provider.delete("pets", { id: ids[0] });
        return caught(provider.getOne("pets", { id: ids[0] }));
    """)
    assert found["status"] == 404


def test_many_are_deleted(use: Use, api: Served, ids: list[int]) -> None:
    found = use("""
        await provider.delete("pets", { id: ids[0] });
        return provider.deleteMany("pets", { ids: ids.slice(0, 3).map(String) });
    """)
    assert found == {"data": [str(id_) for id_ in ids[1:3]]}
    assert api.request("GET", "/pets/").json()["count"] == 2
