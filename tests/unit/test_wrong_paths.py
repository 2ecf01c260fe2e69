"""The answer 404: a page for a browser that goes to a wrong path, a problem for everyone else."""

from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from pets.adapters.memory import InMemoryPetRepository
from pets.api.application import Application
from pets.api.metrics import metrics_handler
from pets.api.problems import EXCEPTION_HANDLERS
from pets.bootstrap import create_app
from pets.settings import MEMORY, Settings

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PATHS = ["/nothing", "/pets/0", "/pets/7", "/docs/nothing", "/schema/nothing", "/problems/nothing"]
LONG = "/" + "x" * 1000

Client = TestClient[Application]


@pytest.fixture
def client() -> Iterator[Client]:
    with TestClient(create_app(repository=InMemoryPetRepository())) as client:
        yield client


@pytest.mark.parametrize("accept", [CHROMIUM, FIREFOX, "text/html", "TEXT/HTML, */*;q=0.1"])
@pytest.mark.parametrize("path", [*PATHS, LONG])
def test_a_browser_gets_a_page_that_leads_to_the_docs(
    client: Client, path: str, accept: str
) -> None:
    response = client.get(path, headers={"Accept": accept})
    assert response.status_code == 404
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text.startswith("<!doctype html>")
    assert '<a href="/docs">' in response.text


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "",
        "application/json",
        "application/json, text/plain, */*",
        "application/problem+json",
        "application/json, text/html;q=0.9",
        "*/*, text/html;q=0.1",
        "image/avif,image/webp,*/*;q=0.8",
        "nonsense",
        ";q=;,,",
        f"text/html,{'a/b,' * 10_000}*/*",
    ],
)
@pytest.mark.parametrize("path", [*PATHS, LONG])
def test_everyone_else_gets_a_problem(client: Client, path: str, accept: str) -> None:
    response = client.get(path, headers={"Accept": accept})
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["status"]) == (404, 404)
    assert response.json()["instance"] == path


def test_a_request_without_accept_gets_a_problem(client: Client) -> None:
    del client.headers["accept"]
    assert client.get("/nothing").headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("accept", [CHROMIUM, "*/*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_cache_keeps_the_page_and_the_problem_apart(
    client: Client, method: str, accept: str
) -> None:
    assert (
        client.request(method, "/nothing", headers={"Accept": accept}).headers["vary"] == "Accept"
    )


def test_an_answer_may_vary_by_origin_too() -> None:
    settings = Settings(database_url=MEMORY, cors_origins="https://shop.example.org")
    client = TestClient(create_app(settings))
    headers = client.get("/nothing", headers={"Accept": FIREFOX}).headers
    assert set(headers.get_list("vary", split_commas=True)) == {"Accept", "Origin"}


@pytest.mark.parametrize("path", ["/nothing", "/pets/0", LONG])
def test_head_gets_the_headers_of_the_page(client: Client, path: str) -> None:
    headers = {"Accept": FIREFOX, "Request-Id": "7"}
    got, head = client.get(path, headers=headers), client.head(path, headers=headers)
    assert (head.status_code, head.content) == (404, b"")
    assert dict(head.headers) == dict(got.headers)


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_gets_a_problem(client: Client, method: str) -> None:
    """A browser goes to a page with GET."""
    response = client.request(method, "/nothing", headers={"Accept": FIREFOX})
    assert response.headers["content-type"] == "application/problem+json"
    assert "vary" not in response.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/pets/stats", "/health/live"])
def test_what_is_found_does_not_vary_with_accept(client: Client, path: str) -> None:
    response = client.get(path, headers={"Accept": FIREFOX})
    assert response.status_code == 200
    assert response.headers.get("vary") in {None, "Accept-Encoding"}


def test_the_page_does_not_repeat_the_path(client: Client) -> None:
    path = "/<script>alert(1)</script>?a=<script>alert(2)</script>"
    response = client.get(path, headers={"Accept": FIREFOX})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "script" not in response.text
    assert "alert" not in response.text


def test_the_page_has_the_security_headers_of_the_docs(client: Client) -> None:
    page = client.get("/nothing", headers={"Accept": FIREFOX})
    docs = client.get("/docs")
    for name in ("content-security-policy", "referrer-policy", "x-content-type-options"):
        assert page.headers[name] == docs.headers[name]


def test_a_pet_that_is_missing_is_called_so(client: Client) -> None:
    page = client.get("/pets/7", headers={"Accept": FIREFOX}).text
    assert "Pet with the matching ID was not found." in page


def test_the_port_of_the_metrics_has_no_page_to_lead_to() -> None:
    app = Application(
        route_handlers=[metrics_handler(bytes)],
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
    )
    response = TestClient(app).get("/docs", headers={"Accept": FIREFOX})
    assert (response.status_code, response.json()["status"]) == (404, 404)
