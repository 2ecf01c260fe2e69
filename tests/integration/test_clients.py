"""The examples of the documents. Those of a page run in their order on a new service."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.browser import needs_chromium, new_page
from tests.integration.node import needs_npm, run_node
from tests.integration.served import served

ROOT = Path(__file__).parents[2]
PAGE = ROOT.joinpath("docs", "clients.md").read_text()
HOST = "127.0.0.1:3000"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHER_CODE = re.compile(r"```|~~~|^(\t| {4})", re.MULTILINE)
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
TAG = re.compile(r'"[0-9a-f]{32}"')
PROMPT = re.compile(r"^\$ ", re.MULTILINE)
END_OF_COMMAND = re.compile(r"(?<!\\)\n")

_, *PARTS = re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)
SECTIONS = {title: BLOCK.findall(text) for title, text in zip(PARTS[::2], PARTS[1::2], strict=True)}
"""The blocks of each section, as language and code: one for each client, then their output."""

OTHERS = dict(SECTIONS.pop("Other clients"))
"""The program of each client that has one alone, by its language."""

Run = Callable[[str, str, Path], str]
"""Runs a program with the host that it calls and its folder, and returns its output."""


def run_process(directory: Path, *command: str) -> str:
    environment = {
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(directory),
        "HTTPIE_CONFIG_DIR": str(directory),
    }
    # Without these options HTTPie would read a body from standard input, which is not a terminal
    # here, and would look for updates on the Internet.
    directory.joinpath("config.json").write_text(
        '{"default_options": ["--ignore-stdin"], "disable_update_warnings": true}'
    )
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_bash(program: str, _: str, directory: Path) -> str:
    return run_process(directory, "bash", "-euo", "pipefail", "-c", program)


def run_python(program: str, _: str, directory: Path) -> str:
    return run_process(directory, sys.executable, "-W", "error", "-c", program)


def run_fetch(program: str, host: str, _: Path) -> str:
    console = "const printed = []; const console = { log: (value) => printed.push(String(value)) };"
    function = f"async () => {{ {console}\n{program}\nreturn printed; }}"
    with new_page() as page:
        page.goto(f"http://{host}/docs")
        printed: list[str] = page.evaluate(function)
    return "\n".join(printed)


class Client(NamedTuple):
    language: str
    call: str
    """A text that each block of this client contains."""
    separator: str
    """A statement that prints a line of three dashes."""
    run: Run


IN_BASH = "echo; echo ---"
CLIENTS = {
    "curl": Client("sh", "curl ", IN_BASH, run_bash),
    "HTTPie": Client("sh", "http ", IN_BASH, run_bash),
    "httpx": Client("python", "api.", 'print("---")', run_python),
    "fetch": Client("js", "fetch(", 'console.log("---");', run_fetch),
}
NEEDED = {
    "curl": pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
    "fetch": needs_chromium,
}
needs_java = pytest.mark.skipif(shutil.which("javac") is None, reason="a JDK is not installed")
NAMES = [pytest.param(name, marks=NEEDED.get(name, ())) for name in CLIENTS]


def run_on_new_service(run: Run, blocks: list[str], separator: str, directory: Path) -> list[str]:
    """Run the blocks as one program on an empty service, and return the output of each."""
    program = f"\n{separator}\n".join(blocks)
    assert HOST in program
    with served("memory://") as service:
        host = service.url.removeprefix("http://")
        printed = run(program.replace(HOST, host), host, directory)
    return printed.split("---\n")


def comparable(text: str) -> str:
    """Return the text without times and tags, which vary, and line breaks, which curl omits."""
    without_times = TIME.sub("some time", text)
    return TAG.sub("some tag", without_times).replace("\n", "")


def test_each_section_has_a_block_for_each_client() -> None:
    languages = [client.language for client in CLIENTS.values()]
    for title, blocks in SECTIONS.items():
        assert [language for language, _ in blocks] == [*languages, "text"], title
        for client, (_, code) in zip(CLIENTS.values(), blocks, strict=False):
            assert client.call in code, title


def test_the_page_has_no_code_outside_these_blocks() -> None:
    in_sections = [block for blocks in SECTIONS.values() for block in blocks]
    in_sections += OTHERS.items()
    assert in_sections == BLOCK.findall(PAGE) != []
    assert not OTHER_CODE.search(BLOCK.sub("", PAGE))


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_each_client_prints_what_the_page_shows(name: str, tmp_path: Path) -> None:
    client = CLIENTS[name]
    index = list(CLIENTS).index(name)
    programs = [blocks[index][1] for blocks in SECTIONS.values()]
    printed = run_on_new_service(client.run, programs, client.separator, tmp_path)
    for (title, blocks), output in zip(SECTIONS.items(), printed, strict=True):
        _, shown = blocks[-1]
        assert comparable(output) == comparable(shown), title


@needs_npm
@pytest.mark.thorough
def test_axios_sends_arrays(npm_packages: Path) -> None:
    def run_axios(program: str, _: str, directory: Path) -> str:
        (directory / "axios.mjs").write_text(program)
        return run_node(directory, "axios.mjs")

    assert run_on_new_service(run_axios, [OTHERS["js"]], "", npm_packages) == ["2\n2\n"]


@needs_java
@pytest.mark.thorough
def test_java_sends_every_method(tmp_path: Path) -> None:
    def run_java(program: str, _: str, directory: Path) -> str:
        (directory / "Pets.java").write_text(program)
        return run_process(directory, "java", "Pets.java")

    (printed,) = run_on_new_service(run_java, [OTHERS["java"]], "", tmp_path)
    created, changed, deleted = printed.splitlines()
    assert json.loads(created)["age"] == 7
    assert json.loads(changed)["age"] == 8
    assert json.loads(deleted) == {"deleted": 1, "errors": []}


def test_the_page_says_which_program_is_not_tested() -> None:
    assert list(OTHERS) == ["js", "java", "powershell"]
    _, powershell = PAGE.split("### PowerShell\n")
    assert "This is not tested." in powershell


class Example(NamedTuple):
    command: str
    shown: str


def read_examples(page: str) -> list[Example]:
    """Return the commands of the console blocks, each after a `$`, and the output shown there."""
    examples = []
    for language, block in BLOCK.findall(page):
        if language == "console":
            nothing, *parts = PROMPT.split(block)
            assert not nothing, "a console block begins with a command"
            for part in parts:
                command, shown = END_OF_COMMAND.split(part, maxsplit=1)
                examples.append(Example(command, shown))
    return examples


@NEEDED["curl"]
@pytest.mark.thorough
@pytest.mark.parametrize("name", ["README.md", "docs/api.md"])
def test_each_command_prints_what_the_document_shows(name: str, tmp_path: Path) -> None:
    examples = read_examples(ROOT.joinpath(name).read_text())
    commands = [example.command for example in examples]
    printed = run_on_new_service(run_bash, commands, IN_BASH, tmp_path)
    for example, output in zip(examples, printed, strict=True):
        assert comparable(output) == comparable(example.shown), example.command
