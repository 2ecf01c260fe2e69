"""Docker, for the tests that need it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def answers(*command: str) -> bool:
    """Return whether a command exists and succeeds."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_docker = pytest.mark.skipif(not answers("docker", "info"), reason="no Docker engine answers")


def without_file(folder: Path) -> list[str]:
    """Return options of compose that replace the `.env` of the developer. A clean clone has none.

    Compose 1 takes nothing but a regular file.
    """
    empty = folder / "empty.env"
    empty.touch()
    return ["--env-file", str(empty)]


def environment_of_a_clean_clone() -> dict[str, str]:
    """Return the variables of this process, without those that the compose files use."""
    ours = ("PETS_", "POSTGRES_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
