"""What import-linter cannot say, for it knows only what it is told to forbid."""

import ast
import sys
from pathlib import Path

import pytest

from pets import domain

ALLOWED = sys.stdlib_module_names | {"pets"}


@pytest.mark.parametrize(
    "path", sorted(Path(domain.__path__[0]).rglob("*.py")), ids=lambda path: path.name
)
def test_the_domain_imports_the_standard_library_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {name.partition(".")[0] for name in names} <= ALLOWED
