"""`make` rebuilds a virtual environment that was moved, and says what the tests lack."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (shutil.which("make") and (ROOT / "Makefile").exists()),
    reason="make or the Makefile is missing, as in the container of the tests",
)


def planned(clone: Path, target: str) -> list[str]:
    """Return the commands that `make` would run."""
    command = ["make", "--dry-run", "--no-print-directory", target]
    done = subprocess.run(command, cwd=clone, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder whose virtual environment is complete."""
    folder = tmp_path / "a clone"
    (folder / ".venv").mkdir(parents=True)
    for path in (ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("requirements*.txt")):
        shutil.copy(path, folder)
    command = f"command = /usr/bin/python3 -m venv {folder}/.venv"
    (folder / ".venv/pyvenv.cfg").write_text(f"home = /usr/bin\n{command}\n")
    for stamp in ("run", "dev", "bench"):
        (folder / ".venv" / stamp).touch()
    return folder


def test_a_complete_environment_is_used_as_it_is(clone: Path) -> None:
    assert planned(clone, "run") == ["exec .venv/bin/pets serve"]


def test_the_service_gets_the_settings_of_the_file_unless_they_are_set(clone: Path) -> None:
    (clone / ".env").write_text(
        "# The settings\n"
        "PETS_PORT=3001\n"
        "PETS_WORKERS=2\n"
        "PETS_DATABASE_URL=postgresql://a:5432/pets?sslmode=require&connect_timeout=3\n"
        "PGPASSWORD='pa$$w#rd $HOME'\n"
        "PETS_ALLOWED_HOSTS='a.example, b.example'\n"
    )
    programs = clone / ".venv" / "bin"
    programs.mkdir()
    (programs / "dotenv").symlink_to(Path(sys.executable).with_name("dotenv"))
    (programs / "pets").write_text('#!/bin/sh\necho "$@" && exec env\n')
    (programs / "pets").chmod(0o755)
    done = subprocess.run(
        ["make", "run"],
        cwd=clone,
        env={"PATH": os.environ["PATH"], "PETS_WORKERS": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    command, *lines = done.stdout.splitlines()
    assert command == "serve"
    assert {line for line in lines if line.startswith(("PETS_", "PGPASSWORD"))} == {
        "PETS_PORT=3001",
        "PETS_WORKERS=3",
        "PETS_DATABASE_URL=postgresql://a:5432/pets?sslmode=require&connect_timeout=3",
        "PGPASSWORD=pa$$w#rd $HOME",
        "PETS_ALLOWED_HOSTS=a.example, b.example",
    }


@pytest.mark.parametrize("target", ["run", "test", "check"])
def test_an_environment_that_was_moved_is_rebuilt(clone: Path, target: str) -> None:
    moved = clone.rename(clone.with_name("moved"))
    commands = planned(moved, target)
    assert commands[0] == "rm -rf .venv"
    assert "python3 -m venv .venv" in commands


PROGRAMS = ["chromium", "curl", "haproxy", "prometheus", "systemd-analyze"]


@pytest.mark.parametrize("present", [[], PROGRAMS])
def test_the_tests_end_with_the_command_that_installs_what_they_lack(
    clone: Path, tmp_path: Path, present: list[str]
) -> None:
    for program in present:
        (tmp_path / program).symlink_to(sys.executable)
    _, _, last = "\n".join(planned(clone, "test-all")).partition("coverage report\n")
    done = subprocess.run(
        ["/bin/sh", "-c", last],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    if present:
        assert done.stdout == ""
    else:
        assert "\nsudo apt-get install --no-install-recommends chromium curl " in done.stdout
