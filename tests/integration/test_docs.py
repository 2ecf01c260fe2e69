"""The page at /docs, in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, Request

from pets.api.api_keys import ApiKey, KeyScope
from tests.integration.browser import needs_chromium, new_page
from tests.integration.served import Served, served

pytestmark = [needs_chromium, pytest.mark.thorough]

WIDTHS = [390, 1280]
"""Those of a phone and of a desktop, in pixels."""

TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .map((element) => [element.getBoundingClientRect(), element])
    .filter(([box]) => box.width > 0 && (box.left < -0.5 || box.right > innerWidth + 0.5))
    .filter(([, element]) => !element.closest("svg"))
    .map(([, element]) => element.outerHTML.slice(0, 80))
"""
"""The elements of the page that stand out of the window at its sides."""

COVERED = """() => {
    const buttons = [...document.querySelectorAll("button, .btn, .copy-to-clipboard")]
        .map((button) => [button, button.getBoundingClientRect()]);
    const covered = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        const range = document.createRange();
        range.selectNodeContents(text);
        const frame = text.parentElement.closest("pre")?.getBoundingClientRect();
        for (const line of range.getClientRects()) {
            if (frame && (line.bottom > frame.bottom || line.top < frame.top)) continue;
            for (const [button, box] of buttons) {
                if (button.contains(text) || box.width === 0) continue;
                const overlaps = Math.min(box.right, line.right) > Math.max(box.left, line.left) + 1
                    && Math.min(box.bottom, line.bottom) > Math.max(box.top, line.top) + 1;
                if (overlaps) covered.push(`${text.data} under ${button.outerHTML.slice(0, 80)}`);
            }
        }
    }
    return covered;
}"""
"""The texts of the page that are under a button, without those that a `pre` has scrolled away."""


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
    return create_a_pet_here(page)


def create_a_pet_here(page: Page) -> Locator:
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


def with_width(page: Page, width: int) -> Page:
    page.set_viewport_size({"width": width, "height": 844})
    return page


def check_layout(page: Page) -> None:
    """Check that nothing stands out at the sides, and that no button covers a text."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(COVERED) == []


def test_a_wrong_path_leads_to_the_page(page: Page, service: Served, complaints: list[str]) -> None:
    answer = with_width(page, 390).goto(f"{service.url}/nothing")
    assert answer
    assert answer.status == 404
    check_layout(page)
    assert "There is nothing at this path." in page.inner_text("body")
    # Chromium itself says that the page is missing. The policy must not add to this.
    assert "Content Security Policy" not in "".join(complaints)
    page.get_by_role("link").click()
    page.locator("#operations-pets-createPet").wait_for()
    assert page.url == f"{service.url}/docs"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_operations_fits_the_window(page: Page, service: Served, width: int) -> None:
    with_width(page, width).goto(f"{service.url}/docs")
    page.locator("#operations-pets-createPet").wait_for()
    check_layout(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_an_operation_with_its_answer_fits_the_window(
    page: Page, service: Served, width: int
) -> None:
    create_a_pet(with_width(page, width), service)
    check_layout(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_button_covers_a_long_answer(page: Page, service: Served, width: int) -> None:
    """An answer that does not fit its box is scrolled there."""
    for _ in range(10):
        service.request("POST", "/pets/", json={"name": "x" * 100, "age": 7, "type": "dog"})
    with_width(page, width).goto(f"{service.url}/docs")
    operation = page.locator("#operations-pets-listPets")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    code = operation.locator(".live-responses-table .highlight-code")
    code.wait_for()
    check_layout(page)
    text = code.locator("pre")
    assert text.evaluate("text => text.scrollHeight > text.clientHeight")
    text_top = text.evaluate("text => text.getBoundingClientRect().top")
    for button in (".copy-to-clipboard", ".download-contents"):
        box = code.locator(button).bounding_box()
        assert box
        assert box["y"] + box["height"] <= text_top


def test_a_schema_fits_a_phone(page: Page, service: Served) -> None:
    """The pattern of a name is one long word. Its box would hide the end."""
    with_width(page, 390).goto(f"{service.url}/docs")
    schema = page.locator(".models article").filter(has_text="PetCreate").first
    schema.get_by_role("button", name="Expand all").first.click()
    pattern = schema.get_by_text("matches ^")
    pattern.wait_for()
    right = pattern.evaluate("element => element.getBoundingClientRect().right")
    assert right <= schema.evaluate("element => element.getBoundingClientRect().right")


def test_the_values_of_a_type_are_shown(page: Page, service: Served) -> None:
    page.goto(f"{service.url}/docs")
    schema = page.locator(".models article").filter(has_text="PetType").first
    schema.get_by_role("button", name="Expand all").first.click()
    schema.get_by_text("Enum").wait_for()
    text = schema.inner_text()
    assert '"cat"' in text
    assert '"dog"' in text
    assert "string" in text


def test_each_error_shows_an_example_of_its_own_status(page: Page, service: Served) -> None:
    page.goto(f"{service.url}/docs")
    operation = page.locator("#operations-pets-createPet")
    operation.locator(".opblock-summary-control").click()
    operation.locator("tr.response").first.wait_for()
    statuses = []
    for answer in operation.locator("tr.response").all():
        status = str(answer.get_attribute("data-code"))
        if status >= "400":
            statuses.append(status)
            assert f'"status": {status}' in answer.locator("pre.example").inner_text()
    assert "503" in statuses


def test_the_one_server_cannot_be_chosen(page: Page, service: Served) -> None:
    page.goto(f"{service.url}/docs")
    page.locator("#operations-pets-createPet").wait_for()
    assert not page.locator(".scheme-container").is_visible()


def test_the_page_says_where_the_guides_are(page: Page, service: Served) -> None:
    page.goto(f"{service.url}/docs")
    information = page.locator(".info")
    information.wait_for()
    text = information.inner_text()
    folder = Path(__file__).parents[2] / "docs"
    for guide in ("api.md", "clients.md", "limits.md"):
        assert guide in text
        assert (folder / guide).is_file()
    for link in information.get_by_role("link").all():
        url = urlsplit(str(link.get_attribute("href")))
        if not url.netloc:
            assert service.request("GET", url.path).status_code == 200


def test_a_key_can_be_given_on_a_phone(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(ApiKey.of("tests", KeyScope.WRITE, "secret").to_line() + "\n")
    with served("memory://", PETS_API_KEYS_FILE=str(file)) as service:
        with_width(page, 390).goto(f"{service.url}/docs")
        page.get_by_role("button", name="Authorize").click()
        dialog = page.locator(".modal-ux")
        dialog.wait_for()
        assert page.evaluate(TOO_WIDE) == []
        dialog.locator("input").last.fill("secret")
        dialog.locator(".auth-btn-wrapper button[type=submit]").last.click()
        dialog.locator(".close-modal").click()
        check_layout(page)
        assert not page.locator(".schemes-server-container").is_visible()
        answer = create_a_pet_here(page)
        assert answer.locator(".response-col_status").last.inner_text().startswith("201")
