"""Docker, for the tests that need it."""

import os
import shutil
import subprocess

import pytest


def answers(*command: str) -> bool:
    """Return whether a command exists and succeeds."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_docker = pytest.mark.skipif(not answers("docker", "info"), reason="no Docker engine answers")

NO_FILE = ["--env-file", os.devnull]
"""Options of compose: the developer may have a file `.env`, which a clean clone lacks."""


def environment_of_a_clean_clone() -> dict[str, str]:
    """Return the variables of this process, without those that the compose files use."""
    ours = ("PETS_", "POSTGRES_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
