"""Node, for the clients that are written in JavaScript and TypeScript."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / ".ci" / "clients"
"""The packages of npm that the tests use, and their lock."""

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


def run_node(directory: Path, *arguments: str) -> str:
    return run(directory, "node", *arguments)


def run(directory: Path, *command: str) -> str:
    """Return what the command prints. If it fails, the test fails and shows that."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install_packages(directory: Path) -> None:
    """Install the locked packages in this folder, for programs in it and below it."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGES / name, directory)
    run(directory, "npm", "ci", "--silent", "--ignore-scripts")
