"""A TypeScript client whose types openapi-typescript makes from the OpenAPI document.

The compiler checks the program that uses it.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from pets.api.openapi import document
from pets.bootstrap import create_app
from pets.settings import MEMORY, Settings
from tests.integration.node import needs_npm, run, run_node
from tests.integration.served import served

pytestmark = [needs_npm, pytest.mark.thorough]

PROGRAM = Path(__file__).parent / "clients" / "every_operation.ts"
COMPILER_OPTIONS = [
    *("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noEmitOnError"),
    *("--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,dom.iterable"),
]


@pytest.fixture(scope="module")
def compiled(npm_packages: Path) -> Path:
    """A folder with the program, compiled without an error."""
    directory = npm_packages / "typescript"
    directory.mkdir()
    described = document(create_app(Settings(database_url=MEMORY)))
    (directory / "pets.json").write_text(json.dumps(described))
    shutil.copy(PROGRAM, directory)
    commands = npm_packages / "node_modules" / ".bin"
    run(directory, str(commands / "openapi-typescript"), "pets.json", "--output", "pets.ts")
    run(directory, str(commands / "tsc"), *COMPILER_OPTIONS, PROGRAM.name)
    return directory


def test_the_program_uses_every_operation(compiled: Path) -> None:
    paths = json.loads((compiled / "pets.json").read_text())["paths"]
    operations = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert set(re.findall(r'api\.([A-Z]+)\("([^"]+)"', PROGRAM.read_text())) == operations


def test_each_operation_works(compiled: Path) -> None:
    with served("memory://") as service:
        run_node(compiled, f"{PROGRAM.stem}.js", service.url)
