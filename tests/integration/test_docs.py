"""The page at /docs, in a real browser."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, Request

from tests.integration.browser import needs_chromium, new_page
from tests.integration.served import Served, served

pytestmark = [needs_chromium, pytest.mark.thorough]


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with served("memory://") as service:
        yield service


@pytest.fixture
def requests() -> list[Request]:
    """The requests of the page."""
    return []


@pytest.fixture
def complaints() -> list[str]:
    """What the browser says on the console: errors, warnings, and violations of the policy."""
    return []


@pytest.fixture
def page(requests: list[Request], complaints: list[str]) -> Iterator[Page]:
    with new_page() as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        # Playwright sets attributes on the function, which a method does not allow.
        page.on("request", lambda request: requests.append(request))  # noqa: PLW0108
        yield page


def test_the_root_leads_to_a_page_with_the_three_calls(page: Page, service: Served) -> None:
    page.goto(f"{service.url}/")
    page.locator("#operations-pets-createPet").wait_for()
    assert page.url == f"{service.url}/docs"
    for operation in ("createPet", "listPets", "deletePets"):
        assert page.locator(f"#operations-pets-{operation}").is_visible()


def create_a_pet(page: Page, service: Served) -> Locator:
    """Create a pet on the page, and return the part that shows the answer."""
    page.goto(f"{service.url}/docs")
    operation = page.locator("#operations-pets-createPet")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    answer.wait_for()
    return answer


def test_a_pet_can_be_created_on_the_page(page: Page, service: Served) -> None:
    answer = create_a_pet(page, service)
    assert answer.locator(".response-col_status").last.inner_text().startswith("201")
    assert '"name": "boy"' in answer.inner_text()


def test_the_page_keeps_to_its_policy(page: Page, service: Served, complaints: list[str]) -> None:
    create_a_pet(page, service)
    page.wait_for_load_state("networkidle")
    assert complaints == []


def test_the_browser_refuses_an_inline_script(
    page: Page, service: Served, complaints: list[str]
) -> None:
    page.goto(f"{service.url}/docs")
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.text = "document.title = 'changed'";
        document.body.append(script);
    }""")
    assert page.title() == "Pets"
    assert "Content Security Policy" in "".join(complaints)


def test_nothing_is_loaded_from_another_host(
    page: Page, service: Served, requests: list[Request]
) -> None:
    page.goto(f"{service.url}/docs")
    page.locator("#operations-pets-createPet").wait_for()
    page.wait_for_load_state("networkidle")
    assert len(requests) >= 5
    for request in requests:
        url = urlsplit(request.url)
        assert url.scheme == "data" or url.netloc == urlsplit(service.url).netloc
        response = request.response()
        assert response is None or response.ok
