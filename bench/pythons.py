"""Which Python runs which server, and what is installed for it.

`PYTHON=` names an interpreter for all servers. They get a virtual environment of its own, because
the one of the benchmark belongs to another Python. `BASELINE=` names the interpreter of an
environment in which an earlier version of the service is installed: the server `before`.
"""

import json
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
BASELINE: Final = os.environ.get("BASELINE")

_VERSION: Final = "import platform; print(platform.python_version())"
_INSTALLED: Final = """
import importlib.metadata, json, platform, sys
packages = {}
for package in importlib.metadata.distributions():
    packages[package.name.lower()] = package.version
print(json.dumps({"python": platform.python_version(), "packages": packages}))
"""


def interpreter(server: str) -> str:
    """Return the path of the Python that runs a server."""
    if server == "before":
        assert BASELINE is not None
        return BASELINE
    return _python()


def installed(server: str) -> Any:  # Any: JSON
    """Return `python`, the version, and `packages`, the version of each."""
    return json.loads(_output(interpreter(server), "-c", _INSTALLED))


@cache
def _python() -> str:
    wanted = os.environ.get("PYTHON")
    if not wanted:
        return sys.executable
    number = _output(wanted, "-c", _VERSION).strip()
    if number == platform.python_version():
        return sys.executable
    folder = ROOT / ".venv" / f"servers-{number}"
    python = str(folder / "bin" / "python")
    ready = folder / "ready"
    if not ready.exists():
        print(f"bench: installing the servers for Python {number}", file=sys.stderr)
        subprocess.run([wanted, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        locked = ["--require-hashes", "--requirement", "requirements-bench.txt"]
        subprocess.run([*pip, *locked], cwd=ROOT, check=True)
        subprocess.run([*pip, "--no-deps", "--editable", "."], cwd=ROOT, check=True)
        ready.touch()
    return python


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
