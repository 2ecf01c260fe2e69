"""Pages of another origin, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Error, Page

from tests.integration.browser import needs_chromium, new_page
from tests.integration.served import Served, served

pytestmark = [needs_chromium, pytest.mark.thorough]

CALL = """async ([method, url, body, headers]) => {
    const response = await fetch(url, {method, body, headers});
    return {status: response.status, headers: Object.fromEntries(response.headers)};
}"""
JSON = {"Content-Type": "application/json"}
BOY = '{"name": "boy", "age": 7, "type": "dog"}'


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Served]:
    """A server of another origin, whose page calls the service."""
    with served("memory://") as service:
        yield service


@pytest.fixture(scope="module")
def service(elsewhere: Served) -> Iterator[Served]:
    with served("memory://", PETS_CORS_ORIGINS=elsewhere.url) as service:
        yield service


@pytest.fixture(scope="module")
def closed() -> Iterator[Served]:
    with served("memory://") as service:
        yield service


@pytest.fixture(scope="module")
def page(elsewhere: Served) -> Iterator[Page]:
    with new_page() as page:
        page.goto(f"{elsewhere.url}/health/live")
        yield page


def test_a_page_may_use_every_method(page: Page, service: Served) -> None:
    url = f"{service.url}/pets/"
    made = page.evaluate(CALL, ["POST", url, BOY, JSON | {"Idempotency-Key": "once"}])
    assert made["status"] == 201
    path = made["headers"]["location"]
    pet = f"{service.url}{path}"
    tag = page.evaluate(CALL, ["GET", pet, None, {}])["headers"]["etag"]
    changed = page.evaluate(CALL, ["PATCH", pet, '{"age": 8}', JSON | {"If-Match": tag}])
    assert changed["status"] == 200
    assert page.evaluate(CALL, ["HEAD", pet, None, {}])["status"] == 200
    assert page.evaluate(CALL, ["DELETE", pet, None, {}])["status"] == 204


def test_a_page_may_send_the_headers_of_its_tools(page: Page, service: Served) -> None:
    headers = {"baggage": "a=1", "sentry-trace": "0-0", "X-Requested-With": "XMLHttpRequest"}
    assert page.evaluate(CALL, ["GET", f"{service.url}/pets/", None, headers])["status"] == 200


def test_a_page_may_read_the_headers(page: Page, service: Served) -> None:
    answer = page.evaluate(CALL, ["GET", f"{service.url}/pets/", None, {"Request-Id": "mine"}])
    assert answer["headers"]["request-id"] == "mine"
    assert "rel=" in answer["headers"]["link"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_page_that_is_not_let_in_reads_nothing(page: Page, closed: Served, method: str) -> None:
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate(CALL, [method, f"{closed.url}/pets/", None, {}])
