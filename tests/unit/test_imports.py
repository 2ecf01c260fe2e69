"""The domain imports no library. import-linter can only forbid libraries that it knows by name."""

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
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name.partition(".")[0] in ALLOWED
