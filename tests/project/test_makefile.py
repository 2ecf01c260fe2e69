"""`make` makes the virtual environment, passes settings on, and says what the tests lack."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKE = shutil.which("make") or ""

pytestmark = pytest.mark.skipif(
    not (MAKE and (ROOT / "Makefile").exists()),
    reason="make or the Makefile is missing, as in the container of the tests",
)


def planned(
    clone: Path, target: str, *variables: str, environment: dict[str, str] | None = None
) -> list[str]:
    """Return the commands that `make` would run."""
    done = subprocess.run(
        [MAKE, "--dry-run", "--no-print-directory", target, *variables],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder whose virtual environment is complete."""
    folder = tmp_path / "a clone"
    (folder / ".venv").mkdir(parents=True)
    for path in (ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("requirements*.txt")):
        shutil.copy(path, folder)
    (folder / "src/pets").mkdir(parents=True)
    shutil.copy(ROOT / "src/pets/__init__.py", folder / "src/pets")
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
    assert any(command.endswith(" -m venv .venv") for command in commands)


def put_python(folder: Path, name: str, *, has_ensurepip: bool = True) -> None:
    """Put a program into the folder that is asked for the module ensurepip."""
    program = folder / name
    status = 0 if has_ensurepip else 1
    program.write_text(f"#!/bin/sh\nexit {status}\n")
    program.chmod(0o755)


def python_of(clone: Path, programs: Path, *variables: str) -> str:
    """Return the Python of a new environment, where these programs are all that there is."""
    for name in ("sh", "grep"):
        (programs / name).symlink_to(str(shutil.which(name)))
    shutil.rmtree(clone / ".venv")
    environment = {"PATH": str(programs)}
    commands = planned(clone, "run", *variables, environment=environment)
    (command,) = [each for each in commands if each.endswith(" -m venv .venv")]
    return command.partition(" ")[0]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def test_an_environment_has_the_newest_python(clone: Path, programs: Path) -> None:
    for name in ("python3", "python3.11", "python3.13", "python3.9"):
        put_python(programs, name)
    assert python_of(clone, programs) == "python3.13"


def test_a_python_that_cannot_make_an_environment_is_passed_over(
    clone: Path, programs: Path
) -> None:
    put_python(programs, "python3.14", has_ensurepip=False)
    put_python(programs, "python3.12")
    assert python_of(clone, programs) == "python3.12"


def test_without_a_known_version_python3_is_tried(clone: Path, programs: Path) -> None:
    put_python(programs, "python3")
    assert python_of(clone, programs) == "python3"


def test_the_python_that_is_named_is_taken(clone: Path, programs: Path) -> None:
    put_python(programs, "python3.14")
    assert python_of(clone, programs, "PYTHON=python3.11") == "python3.11"


PROGRAMS = [
    "apache2",
    "caddy",
    "chromium",
    "curl",
    "haproxy",
    "javac",
    "nginx",
    "npm",
    "prometheus",
    "systemd-analyze",
]


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
        assert "\nsudo apt-get install --no-install-recommends " in done.stdout
        assert " caddy chromium curl " in done.stdout
