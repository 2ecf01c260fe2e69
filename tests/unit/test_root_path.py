"""A service behind a proxy that removes `/shop` from the path of each request."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urljoin

import pytest
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.api.api_keys import ApiKeys
from pets.api.application import Application
from pets.api.openapi import document
from pets.bootstrap import create_app
from pets.domain.errors import OutcomeUnknown, StoreUnavailable
from pets.settings import MEMORY, Settings, SettingsError

ROOT: Final = "/shop"
BOY: Final = {"name": "boy", "age": 7, "type": "dog"}
BROWSER: Final = {"Accept": "text/html"}

Client = TestClient[Application]


def app_below(root_path: str, keys: ApiKeys | None = None) -> Application:
    return create_app(Settings(database_url=MEMORY, root_path=root_path), keys=keys)


@pytest.fixture
def client() -> Iterator[Client]:
    with TestClient(app_below(ROOT)) as client:
        yield client


@pytest.mark.parametrize("root", [ROOT, "/shop/v1.2", "/pets", "/docs", "/health"])
def test_a_new_pet_is_where_the_client_sees_it(root: str) -> None:
    """The root path may look like a path of the service."""
    with TestClient(app_below(root)) as client:
        made = client.post("/pets/", json=BOY)
        assert made.headers["location"] == f"{root}/pets/1"
        assert client.get("/pets/1").json() == made.json()


def test_links_lead_to_the_pages_that_the_client_sees(client: Client) -> None:
    client.post("/pets/", json=[BOY, BOY])
    page = client.get("/pets/?limit=1&type=dog")
    assert page.links["first"]["url"] == "/shop/pets/?limit=1&type=dog"
    following = page.links["next"]["url"]
    assert following.startswith("/shop/pets/?limit=1&type=dog&cursor=")
    assert client.get(following.removeprefix(ROOT)).json()["items"][0]["id"] == 2


@pytest.mark.parametrize("path", ["/pets/0", "/pets/?limit=x", "/nothing", "/pets%2F1", "/"])
def test_a_problem_names_the_path_that_the_client_sees(client: Client, path: str) -> None:
    assert client.post(path).json()["instance"] == ROOT + path.partition("?")[0]


def test_a_problem_with_another_host_in_its_path_stays_on_this_one(client: Client) -> None:
    instance = client.get("http://testserver//evil.org/pets").json()["instance"]
    assert urljoin("http://pets.example/", instance).startswith("http://pets.example/shop/")


def test_what_is_no_path_stays_as_it_is() -> None:
    with TestClient(app_below(ROOT, keys=ApiKeys([]))) as client:
        problem = client.get("/pets/").json()
    assert (problem["type"], problem["instance"]) == ("about:blank", "/shop/pets/")


@pytest.mark.parametrize("error", [StoreUnavailable, OutcomeUnknown])
def test_the_type_of_a_problem_is_a_page_that_the_client_can_open(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: type[StoreUnavailable]
) -> None:
    async def fail(*_: object) -> None:
        raise error("It fails.")

    monkeypatch.setattr(InMemoryPetRepository, "find", fail)
    type_ = client.get("/pets/1").json()["type"]
    assert type_.startswith("/shop/problems/")
    assert client.get(type_.removeprefix(ROOT)).status_code == 200


def paths_in(page: str) -> list[str]:
    return re.findall(r'"(/[^"]*)"', page)


def test_the_page_of_the_api_finds_its_files(client: Client) -> None:
    script = client.get("/docs/docs.js").text
    paths = paths_in(client.get("/docs").text) + paths_in(script)
    assert "/shop/schema/openapi.json" in paths
    assert len(paths) == 5
    for path in paths:
        assert path.startswith("/shop/")
        assert client.get(path.removeprefix(ROOT)).status_code == 200


def test_a_browser_is_led_to_the_page_of_the_api(client: Client) -> None:
    assert client.get("/", follow_redirects=False).headers["location"] == "/shop/docs"
    assert paths_in(client.get("/nothing", headers=BROWSER).text) == ["/shop/docs"]


def test_services_of_one_process_have_root_paths_of_their_own(client: Client) -> None:
    with TestClient(app_below("")) as plain:
        for path, header in (("/docs", ""), ("/docs/docs.js", ""), ("/nothing", "text/html")):
            headers = {"Accept": header or "*/*"}
            ours = client.get(path, headers=headers).text
            assert ours.replace("/shop/", "/") == plain.get(path, headers=headers).text != ours


def strings_in(part: Any) -> Iterator[str]:  # Any: whatever JSON can hold.
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for inner in part.values():
            yield from strings_in(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from strings_in(inner)


def test_the_openapi_document_shows_what_the_client_sees(client: Client) -> None:
    described = client.get("/schema/openapi.json").json()
    assert described["servers"] == [{"url": "/shop"}]
    assert "/pets/" in described["paths"]
    made = described["paths"]["/pets/"]["post"]["responses"]["201"]["headers"]["Location"]["schema"]
    longest = f"/shop/pets/{2**63 - 1}"
    assert re.search(made["pattern"], longest)
    assert not re.search(made["pattern"], "/pets/1")
    assert (made["maxLength"], made["examples"]) == (len(longest), ["/shop/pets/1"])
    examples = [text for text in strings_in(described["paths"]) if re.match("<?/", text)]
    assert examples
    assert [text for text in examples if not re.match("<?/shop/", text)] == []
    assert "(/shop/problems/not-done)" in described["info"]["description"]


def test_the_document_is_the_same_for_a_request_and_for_the_command(client: Client) -> None:
    shown = json.loads(json.dumps(document(app_below(ROOT))))
    assert client.get("/schema/openapi.json").json() == shown
    assert document(app_below(""))["servers"] == [{"url": "/"}]


def test_a_dot_in_the_root_path_is_a_dot_in_the_pattern() -> None:
    described = document(app_below("/v1.2"))
    made = described["paths"]["/pets/"]["post"]["responses"]["201"]["headers"]["Location"]["schema"]
    assert re.search(made["pattern"], "/v1.2/pets/1")
    assert not re.search(made["pattern"], "/v1x2/pets/1")


@pytest.mark.parametrize("path", ["/shop/pets/", "/shop/docs", "/shop"])
def test_a_path_that_the_proxy_did_not_strip_is_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/shop", "/a/b", "/v1.2", "/A_b~c-d", "/..a", "/a./b"])
def test_a_root_path_may_have_several_segments(path: str) -> None:
    assert Settings.from_environment({"PETS_ROOT_PATH": path}).root_path == path


@pytest.mark.parametrize(
    "path",
    [
        "shop",
        "/",
        "/shop/",
        "//shop",
        "/a//b",
        "/shop?x",
        "/shop#x",
        "/a b",
        "/caf\xe9",
        "/a%20b",
        "/..",
        "/a/../b",
        "/./a",
        '/a"b',
        "/<a>",
        "/a\nb",
        "https://example.org/shop",
    ],
)
def test_another_root_path_is_refused_and_named(path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(root_path=path)
    assert str(caught.value) == f"PETS_ROOT_PATH: {path!r} is not like /shop or /a/b"
