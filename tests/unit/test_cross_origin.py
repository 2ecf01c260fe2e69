"""Which pages of other origins, and which names of the service, are let in."""

import time

import pytest
from httpx import Headers, Response
from litestar.testing import TestClient

from pets.api.application import Application
from pets.bootstrap import create_app
from pets.settings import MEMORY, Settings

ORIGIN = "https://shop.example.org"
EXPOSED = "ETag, Idempotent-Replayed, Link, Location, Request-Id, Retry-After, X-Total-Count"


def client(**settings: str) -> TestClient[Application]:
    return TestClient(create_app(Settings(database_url=MEMORY, **settings)))  # type: ignore[arg-type]  # All of these settings are texts.


def preflight(client: TestClient[Application], names: str, origin: str = ORIGIN) -> Response:
    """Ask whether a page may send these headers."""
    headers = {
        b"Origin": origin.encode(),
        b"Access-Control-Request-Method": b"GET",
        b"Access-Control-Request-Headers": names.encode("latin-1"),
    }
    return client.options("/pets/", headers=headers)


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
    assert shop.get("/pets/stats").headers["vary"] == "Origin"


@pytest.mark.parametrize("path", ["/pets/", "/pets/0", "/nothing"])
@pytest.mark.parametrize("headers", [{}, {"Origin": ORIGIN}, {"Origin": "null"}])
def test_if_any_origin_is_let_in_all_answers_say_so_and_none_varies(
    path: str, headers: dict[str, str]
) -> None:
    """A cache may give a page the answer to a request that had no `Origin`."""
    response = client(cors_origins=f"*, {ORIGIN}").get(path, headers=headers)
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-expose-headers"] == EXPOSED
    assert "Origin" not in response.headers.get("vary", "")


def test_the_headers_for_any_origin_are_sent_once() -> None:
    anyone = client(cors_origins="*")
    for response in (anyone.get("/pets/", headers={"Origin": ORIGIN}), preflight(anyone, "x")):
        assert response.headers.get_list("access-control-allow-origin") == ["*"]


@pytest.mark.parametrize(
    "origin", ["capacitor://localhost", "tauri://localhost", "chrome-extension://abc", "null"]
)
def test_the_pages_of_an_app_can_be_let_in(origin: str) -> None:
    response = client(cors_origins=f"{ORIGIN}, {origin}").get("/pets/", headers={"Origin": origin})
    assert response.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    ("known", "origin"),
    [
        ("https://shop.example.org:443", "https://shop.example.org"),
        ("http://shop.example.org:80", "http://shop.example.org"),
        ("http://shop.example.org:443", "http://shop.example.org:443"),
        ("https://*.example.org:443", "https://shop.example.org"),
        ("https://[::1]:443", "https://[::1]"),
    ],
)
def test_the_default_port_of_a_scheme_is_no_part_of_an_origin(known: str, origin: str) -> None:
    response = client(cors_origins=known).get("/pets/", headers={"Origin": origin})
    assert response.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("origin", ["https://a.example.org", "https://b-1.a.example.org"])
def test_a_star_lets_in_every_subdomain(origin: str) -> None:
    response = client(cors_origins="https://*.example.org").get("/", headers={"Origin": origin})
    assert response.headers["access-control-allow-origin"] == origin
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "https://.example.org",
        "https://a..example.org",
        "https://evilexample.org",
        "https://a.example.org.evil.org",
        "https://a.exampleXorg",
        "https://evil.org/.example.org",
        "https://evil.org#.example.org",
        "http://a.example.org",
        "https://a.example.org:8443",
        "xhttps://a.example.org",
    ],
)
def test_a_star_lets_in_nothing_else(origin: str) -> None:
    response = client(cors_origins="https://*.example.org").get("/", headers={"Origin": origin})
    assert "access-control-allow-origin" not in response.headers


def test_a_long_origin_is_compared_quickly() -> None:
    shop = client(cors_origins="https://*.example.org, https://*.example.com")
    began = time.process_time()
    for labels in ("a." * 30_000, "a" * 60_000, "a-" * 30_000 + "."):
        shop.get("/", headers={"Origin": f"https://{labels}example.orX"})
    assert time.process_time() - began < 1


def test_no_page_is_let_in_by_default() -> None:
    response = client().get("/pets/", headers={"Origin": ORIGIN})
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert "Origin" not in response.headers.get("vary", "")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "DELETE"])
def test_a_preflight_allows_every_method(shop: TestClient[Application], method: str) -> None:
    response = shop.options(
        "/pets/1", headers={"Origin": ORIGIN, "Access-Control-Request-Method": method}
    )
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert method in response.headers["access-control-allow-methods"].split(", ")


@pytest.mark.parametrize("known", [ORIGIN, "*"])
@pytest.mark.parametrize(
    "names",
    [
        "baggage,content-type,sentry-trace,x-requested-with",
        "A, b\t,c",
        "!#$%&'*+.^_`|~9",
        "x" * 2000,
    ],
)
def test_a_preflight_allows_the_headers_that_are_asked_for(known: str, names: str) -> None:
    """SDKs add their own to each request, and a page cannot prevent it."""
    response = preflight(client(cors_origins=known), names)
    assert response.headers["access-control-allow-headers"] == names
    varies = response.headers.get_list("vary", split_commas=True)
    assert "Access-Control-Request-Headers" in varies
    assert ("Origin" in varies) is (known == ORIGIN)


@pytest.mark.parametrize("names", ["", "a b", "a,,b", "a,", "a;b", "a: b", "ä", "x" * 2001])
def test_a_preflight_repeats_nothing_but_names(shop: TestClient[Application], names: str) -> None:
    response = preflight(shop, names)
    assert response.status_code == 204
    assert "access-control-allow-headers" not in response.headers


def test_names_on_two_lines_are_one_list(shop: TestClient[Application]) -> None:
    fields = [
        ("Origin", ORIGIN),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "a"),
        ("Access-Control-Request-Headers", "b"),
    ]
    response = shop.options("/pets/", headers=Headers(fields))
    assert response.headers["access-control-allow-headers"] == "a, b"


def test_a_preflight_of_an_unknown_origin_allows_no_header(shop: TestClient[Application]) -> None:
    response = preflight(shop, "baggage", origin="https://evil.example.org")
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_options_that_are_no_preflight_are_answered_as_ever(shop: TestClient[Application]) -> None:
    response = shop.options("/pets/", headers={"Origin": ORIGIN})
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("known", ["pets.example.org", "pets.example.org."])
@pytest.mark.parametrize(
    "host",
    [
        "pets.example.org",
        "PETS.example.org",
        "pets.example.org:3000",
        "pets.example.org.",
        "pets.example.org.:3000",
        "[::1]:80",
        "[::1]",
    ],
)
def test_a_request_to_a_known_host_is_served(known: str, host: str) -> None:
    names = client(allowed_hosts=f"{known}, [::1]")
    assert names.get("/pets/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.org",
        "pets.example.org.evil.org",
        "a.pets.example.org",
        "pets.example.org..",
        "pets.example.org:80.",
    ],
)
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
