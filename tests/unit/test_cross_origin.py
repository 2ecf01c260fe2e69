"""Which pages of other origins, and which names of the service, are let in."""

import pytest
from litestar.testing import TestClient

from pets.api.application import Application
from pets.bootstrap import create_app
from pets.settings import MEMORY, Settings

ORIGIN = "https://shop.example.org"
EXPOSED = "ETag, Idempotent-Replayed, Link, Location, Request-Id, Retry-After, X-Total-Count"


def client(**settings: str) -> TestClient[Application]:
    return TestClient(create_app(Settings(database_url=MEMORY, **settings)))  # type: ignore[arg-type]  # All of these settings are texts.


@pytest.fixture
def shop() -> TestClient[Application]:
    return client(cors_origins=f"https://other.example.org, {ORIGIN}")


@pytest.mark.parametrize("path", ["/pets/", "/pets/0", "/pets/?limit=x", "/nothing"])
def test_a_page_of_a_known_origin_may_read_every_answer(
    shop: TestClient[Application], path: str
) -> None:
    response = shop.get(path, headers={"Origin": ORIGIN})
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-expose-headers"] == EXPOSED


@pytest.mark.parametrize("origin", ["https://evil.example.org", f"{ORIGIN}.evil.org", "null", ""])
def test_a_page_of_another_origin_may_not(shop: TestClient[Application], origin: str) -> None:
    response = shop.get("/pets/", headers={"Origin": origin})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


def test_a_cache_learns_that_answers_depend_on_the_origin(shop: TestClient[Application]) -> None:
    assert shop.get("/pets/").headers["vary"] == "Origin"


def test_any_origin_can_be_let_in() -> None:
    response = client(cors_origins="*").get("/pets/", headers={"Origin": ORIGIN})
    assert response.headers["access-control-allow-origin"] == "*"


def test_no_page_is_let_in_by_default() -> None:
    response = client().get("/pets/", headers={"Origin": ORIGIN})
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert "vary" not in response.headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "DELETE"])
def test_a_preflight_allows_every_method(shop: TestClient[Application], method: str) -> None:
    response = shop.options(
        "/pets/1", headers={"Origin": ORIGIN, "Access-Control-Request-Method": method}
    )
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert method in response.headers["access-control-allow-methods"].split(", ")


def test_options_that_are_no_preflight_are_answered_as_ever(shop: TestClient[Application]) -> None:
    response = shop.options("/pets/", headers={"Origin": ORIGIN})
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    "host", ["pets.example.org", "PETS.example.org", "pets.example.org:3000", "[::1]:80", "[::1]"]
)
def test_a_request_to_a_known_host_is_served(host: str) -> None:
    names = client(allowed_hosts="pets.example.org, [::1]")
    assert names.get("/pets/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.org", "pets.example.org.evil.org", "a.pets.example.org"])
def test_a_request_to_another_host_is_421(host: str) -> None:
    names = client(allowed_hosts="pets.example.org")
    response = names.get("/pets/", headers={"Host": host})
    assert response.status_code == 421
    assert response.json()["title"] == "Misdirected Request"


def test_the_health_checks_answer_to_any_name() -> None:
    names = client(allowed_hosts="pets.example.org")
    assert names.get("/health/live", headers={"Host": "10.0.0.1:3000"}).status_code == 200


@pytest.mark.parametrize("path", ["/pets/", "/pets/0", "/docs", "/nothing"])
def test_no_browser_guesses_the_type_of_an_answer(path: str) -> None:
    assert client().get(path).headers["x-content-type-options"] == "nosniff"


def test_the_page_of_the_api_tells_other_sites_nothing() -> None:
    headers = client().get("/docs").headers
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
