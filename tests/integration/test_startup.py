"""How the commands start."""

import subprocess
import sys
from pathlib import Path

import pytest

from pets.cli.main import main
from tests.integration.served import start


def test_help_does_not_load_the_service() -> None:
    program = (
        "import sys; from pets.cli.main import main; main(['--help']);"
        "print('litestar' in sys.modules, 'sqlalchemy' in sys.modules)"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert printed.startswith("Usage: pets")
    assert printed.endswith("False False\n")


def test_a_host_that_no_name_can_be_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", "memory://")
    assert main(["serve", "--host", "a..b"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "PETS_HOST" in line
    assert "a..b" in line
