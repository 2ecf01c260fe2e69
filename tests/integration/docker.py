"""Docker, for the tests that need it."""

import shutil
import subprocess

import pytest


def answers(*command: str) -> bool:
    """Return whether a command exists and succeeds."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_docker = pytest.mark.skipif(not answers("docker", "info"), reason="no Docker engine answers")
