"""The examples of the documents, each run from top to bottom of its page against a new service."""

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
from tests.integration.served import served

ROOT = Path(__file__).parents[2]
PAGE = ROOT.joinpath("docs", "clients.md").read_text()
HOST = "127.0.0.1:3000"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
TAG = re.compile(r'"[0-9a-f]{32}"')
SEPARATOR = "echo; echo ---"
"""Prints a line of three dashes, also after a body that does not end with a line break."""

_, *PARTS = re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)
SECTIONS = {title: BLOCK.findall(text) for title, text in zip(PARTS[::2], PARTS[1::2], strict=True)}
"""For each title the pairs of language and code: a block for each client, and then what each of them prints."""

Run = Callable[[str, str, Path], str]
"""Runs a program against the host named in it, in a folder, and returns what it printed."""


def run_process(directory: Path, *command: str) -> str:
    environment = {
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(directory),
        "HTTPIE_CONFIG_DIR": str(directory),
    }
    # HTTPie reads its body from what is not a terminal, and asks its makers' site for news, unless told not to.
    directory.joinpath("config.json").write_text(
        '{"default_options": ["--ignore-stdin"], "disable_update_warnings": true}'
    )
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_bash(program: str, _: str, directory: Path) -> str:
    return run_process(directory, "bash", "-euo", "pipefail", "-c", program)


def run_python(program: str, _: str, directory: Path) -> str:
    return run_process(directory, sys.executable, "-W", "error", "-c", program)


def run_fetch(program: str, host: str, _: Path) -> str:
    with new_page() as page:
        page.goto(f"http://{host}/docs")
        console = "const printed = []; const console = { log: (text) => printed.push(text) };"
        printed: list[str] = page.evaluate(f"async () => {{ {console}\n{program}\nreturn printed; }}")
    return "\n".join(printed)


class Client(NamedTuple):
    language: str
    call: str
    """What every one of its blocks has."""
    separator: str
    """A statement that prints a line of three dashes."""
    run: Run


CLIENTS = {
    "curl": Client("sh", "curl ", SEPARATOR, run_bash),
    "HTTPie": Client("sh", "http ", SEPARATOR, run_bash),
    "httpx": Client("python", "api.", 'print("---")', run_python),
    "fetch": Client("js", "fetch(", 'console.log("---");', run_fetch),
}
NEEDED = {
    "curl": pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
    "fetch": needs_chromium,
}


def test_every_block_of_the_page_is_a_clients_or_what_they_print() -> None:
    assert [block for blocks in SECTIONS.values() for block in blocks] == BLOCK.findall(PAGE) != []
    assert not re.search(r"```|~~~|^(\t| {4})", BLOCK.sub("", PAGE), re.MULTILINE)
    languages = [*(client.language for client in CLIENTS.values()), "text"]
    for title, blocks in SECTIONS.items():
        assert [language for language, _ in blocks] == languages, title
        for client, (_, code) in zip(CLIENTS.values(), blocks, strict=False):
            assert client.call in code, title


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDED.get(name, ())) for name in CLIENTS])
def test_prints_what_the_page_says(name: str, tmp_path: Path) -> None:
    client, index = CLIENTS[name], list(CLIENTS).index(name)
    program = f"\n{client.separator}\n".join(blocks[index][1] for blocks in SECTIONS.values())
    assert HOST in program
    with served("memory://") as service:
        host = service.url.removeprefix("http://")
        printed = client.run(program.replace(HOST, host), host, tmp_path).split("---\n")
    # Line breaks aside: curl and HTTPie print bodies as they are, which end with none.
    assert dict(zip(SECTIONS, map(_comparable, printed), strict=True)) == {
        title: _comparable(blocks[-1][1]) for title, blocks in SECTIONS.items()
    }


CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^\$ ", re.MULTILINE)


class Example(NamedTuple):
    command: str
    output: str


def read_examples(page: str) -> list[Example]:
    """Return the commands of the console blocks, which begin with `$`, and what they print."""
    examples = []
    for block in CONSOLE.findall(page):
        before, *parts = PROMPT.split(block)
        assert before == "", block
        for part in parts:
            command, output = re.split(r"(?<!\\)\n", part, maxsplit=1)
            examples.append(Example(command, output))
    return examples


@NEEDED["curl"]
@pytest.mark.parametrize("name", ["README.md", "docs/api.md"])
def test_commands_print_what_the_document_shows(name: str, tmp_path: Path) -> None:
    examples = read_examples(ROOT.joinpath(name).read_text())
    assert examples
    program = f"\n{SEPARATOR}\n".join(example.command for example in examples)
    with served("memory://") as service:
        host = service.url.removeprefix("http://")
        printed = run_bash(program.replace(HOST, host), host, tmp_path).split("---\n")
    for example, output in zip(examples, printed, strict=True):
        assert _comparable(output) == _comparable(example.output), example.command


def _comparable(text: str) -> str:
    return TAG.sub("some tag", TIME.sub("some time", text)).replace("\n", "")
