"""What the commands load. Most of the time of a start is loading."""

import subprocess
import sys
from pathlib import Path

import pytest

from pets.bootstrap.stores import migrate
from pets.settings import Settings

# It replaces the end of the process, which is `os._exit`.
_RUN = """
import gc, os, sys
def tell(status):
    print(sum(each["collections"] for each in gc.get_stats()), *sys.modules)
    sys.exit(status)
os._exit = tell
from pets.__main__ import main
main()
"""


def loaded_by(command: str, **environment: str) -> tuple[int, set[str]]:
    """Return how often a command has collected garbage, and the modules that it has at its end."""
    arguments = [sys.executable, "-c", _RUN, command]
    run = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    collections, *modules = run.stdout.splitlines()[-1].split()
    return int(collections), set(modules)


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_without_work_loads_neither_the_framework_nor_a_database(option: str) -> None:
    _, modules = loaded_by(option)
    heavy = {"litestar", "sqlalchemy", "asyncpg", "uvicorn", "structlog", "rich", "hashlib"}
    assert heavy & packages(modules) == set()
    assert {"difflib", "importlib.metadata", "pets.domain.pet"} & modules == set()


@pytest.mark.thorough
def test_an_existing_store_is_opened_without_alembic_and_without_collecting_garbage(
    tmp_path: Path,
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'pets.db'}"
    migrate(Settings(database_url=url))
    collections, modules = loaded_by("migrate", PETS_DATABASE_URL=url)
    assert "sqlalchemy" in modules
    assert {"alembic", "mako", "pygments"} & packages(modules) == set()
    assert collections < 50  # By default it would be several hundred.
