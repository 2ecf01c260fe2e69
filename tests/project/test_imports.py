"""The domain imports no library, and the server only uvicorn and its parts.

import-linter can only forbid libraries that it knows by name.
"""

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pets import domain, serving

STANDARD = {*sys.stdlib_module_names, "pets"}
SERVER = {*STANDARD, "httptools", "uvicorn", "uvloop"}


def files(package: ModuleType) -> list[Path]:
    return sorted(Path(package.__path__[0]).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", files(domain), ids=lambda path: path.name)
def test_the_domain_imports_the_standard_library_alone(path: Path) -> None:
    assert imported(path) <= STANDARD


@pytest.mark.parametrize("path", files(serving), ids=lambda path: path.name)
def test_the_server_imports_uvicorn_alone(path: Path) -> None:
    assert imported(path) <= SERVER
