"""The documents agree with one another and with the code."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pets.api.openapi import document
from pets.bootstrap import create_app
from pets.settings import MEMORY, Settings

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
API = ROOT / "docs" / "api.md"
CODE = ROOT / "docs" / "code.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "bench" / "results.md"
DECISIONS = ROOT / "docs" / "decisions"
SOURCE = ROOT / "src" / "pets"

WRITTEN = {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")}
DOCUMENTS = sorted(WRITTEN.difference(ROOT.glob("bench/*-quick.md")))  # which Git ignores

BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")
SETTING = re.compile(r"^\| `(PETS_\w+)` \|[^|]*\| `([^`]*)` \|", re.MULTILINE)
ARROW = re.compile(r"^ *(\w+) --> (.+)$", re.MULTILINE)
STEP = re.compile(r"^\d\. \[.+\]\((src/pets/\S+)\)", re.MULTILINE)
NAME = re.compile(r"`(\w+)`")
TEST = re.compile(r"\b(?:test_\w+|Test[A-Z]\w+)")
CALL = re.compile(r"^\| `([A-Z]+ /\S*)` \|", re.MULTILINE)
AT_64_CONNECTIONS = re.compile(r"^\| (\S.*\S) +\| +64 \| (`\w+`) +\| +([\d,]+) \|", re.MULTILINE)
"""The load, the server and its requests a second, in a row of `bench/results.md`."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(path: Path) -> list[str]:
    """Return the targets of the document's links that stay within the repository."""
    prose = BLOCK.sub("", path.read_text())
    targets = LINK.findall(INLINE_CODE.sub("", prose))
    return [target for target in targets if not target.startswith("https://")]


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of the document."""
    names = set()
    for heading in HEADING.findall(BLOCK.sub("", path.read_text())):
        kept = NOT_IN_ANCHOR.sub("", heading.lower())
        names.add(kept.replace(" ", "-"))
    return names


def row_after(start: str, page: str) -> list[str]:
    """Return the cells, from the second on, of the one table row that begins with this text."""
    (row,) = re.findall(rf"^{re.escape(start)}.*$", page, re.MULTILINE)
    cells = row.strip("|").split("|")
    return [cell.strip() for cell in cells[1:]]


def part_of(module: str) -> str:
    """Return the part of the package that a module like `pets.api.health` belongs to."""
    return module.split(".")[1]


def imports(path: Path) -> set[str]:
    """Return the parts of the package that a file imports."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pets."):
            parts.add(part_of(node.module))
    return parts


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    for link in links(path):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached = {README}
    waiting = [README]
    while waiting:
        path = waiting.pop()
        for link in links(path):
            target = (path.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target not in reached:
                reached.add(target)
                waiting.append(target)
    assert reached == set(DOCUMENTS)


@pytest.mark.parametrize("path", sorted(DECISIONS.glob("0*.md")), ids=name_of)
def test_the_index_names_each_decision_by_its_title(path: Path) -> None:
    first_line = path.read_text().partition("\n")[0]
    number, title = first_line.removeprefix("# ").split(". ", maxsplit=1)
    assert int(number) == int(path.name[:4])
    index = DECISIONS.joinpath("README.md").read_text()
    assert f"| {number} | [{title}]({path.name}) |" in index


def test_every_setting_is_documented_with_its_default() -> None:
    defaults = {}
    for setting in dataclasses.fields(Settings):
        defaults[f"PETS_{setting.name.upper()}"] = str(setting.default).lower()
    assert dict(SETTING.findall(CONFIGURATION.read_text())) == defaults


@pytest.mark.parametrize("page", ["limits.md", "security.md"])
def test_what_a_page_promises_is_shown_by_tests_that_exist(page: str) -> None:
    sources = ""
    for path in ROOT.glob("tests/**/*.py"):
        sources += f"{path.name}\n{path.read_text()}"
    names = TEST.findall((ROOT / "docs" / page).read_text())
    assert len(names) > 20
    for name in names:
        assert re.search(rf"\b{name}\b", sources), name


def test_every_call_is_documented() -> None:
    calls = set()
    app = create_app(Settings(database_url=MEMORY))
    for path, operations in document(app)["paths"].items():
        for method in operations:
            calls.add(f"{method.upper()} {path}")
    assert set(CALL.findall(API.read_text())) == calls


def test_the_performance_page_shows_the_last_benchmark() -> None:
    figures: dict[str, dict[str, str]] = {}
    for load, server, requests in AT_64_CONNECTIONS.findall(RESULTS.read_text()):
        figures.setdefault(load, {})[server] = requests
    assert figures

    page = PERFORMANCE.read_text()
    servers = row_after("| load |", page)
    for load, measured in figures.items():
        assert row_after(f"| {load} |", page) == [measured.get(server, "") for server in servers]


def test_the_picture_has_exactly_the_arrows_of_the_code() -> None:
    drawn: set[tuple[str, str]] = set()
    for importer, targets in ARROW.findall(README.read_text()):
        for target in targets.split(" & "):
            drawn.add((importer, target))

    existing: set[tuple[str, str]] = set()
    for path in SOURCE.rglob("*.py"):
        importer = path.relative_to(SOURCE).with_suffix("").parts[0]
        if importer != "__main__":
            for target in imports(path) - {importer}:
                existing.add((importer, target))
    assert drawn == existing


def test_the_half_hour_needs_no_file_of_the_server() -> None:
    steps = [ROOT / step for step in STEP.findall(README.read_text())]
    assert len(steps) == 8
    *before, composition_root = steps
    assert composition_root == SOURCE / "bootstrap" / "__init__.py"
    for step in before:
        for path in [step] if step.is_file() else step.glob("*.py"):
            assert "serving" not in imports(path), path


def test_the_page_about_the_code_names_what_its_files_have() -> None:
    rows = [row for row in CODE.read_text().splitlines() if "](../src" in row]
    assert len(rows) > 11
    for row in rows:
        _, answer = row.strip("| ").split(" | ")
        files = [CODE.parent / link for link in LINK.findall(answer)]
        sources = "".join(path.read_text() for path in files if path.is_file())
        for name in NAME.findall(answer):
            assert re.search(rf"\b{name}\b", sources), name


def test_every_error_in_the_log_is_explained() -> None:
    page = (ROOT / "docs" / "operation.md").read_text()
    lines = [line for path in SOURCE.glob("**/*.py") for line in error_lines(path)]
    assert len(lines) > 5
    for line in lines:
        assert f"| `{line}` |" in page, line


def error_lines(path: Path) -> Iterator[str]:
    """Yield the templates of the lines that a file logs at level error."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="logger"), attr="error" | "exception"),
                args=[ast.Constant(value=str(line)), *_],
            ):
                yield line
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Name(id="logger" | "logging") | ast.Attribute(attr="logger"),
                    attr="error" | "exception" | "critical",
                )
            ):
                raise AssertionError(f"{path}: a line that this test cannot read")
