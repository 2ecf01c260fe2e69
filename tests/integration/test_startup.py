"""How the commands start."""

import subprocess
import sys
from pathlib import Path

import pytest

from pets.cli.main import main
from tests.integration.served import start

SLOW_WORKERS = """
import sys, time

if "--multiprocessing-fork" in sys.orig_argv:
    time.sleep(6)  # uvicorn's own limit is 5 seconds
"""


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


def test_a_worker_may_start_slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("sitecustomize.py").write_text(SLOW_WORKERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    url = f"sqlite:///{tmp_path}/pets.db"
    started = 0
    with start("serve", "--port", "0", "--workers", "2", database_url=url) as process:
        assert process.stderr
        try:
            while started < 2:
                line = process.stderr.readline()
                assert line
                assert "died" not in line
                started += "startup complete" in line
        finally:
            process.terminate()
            process.communicate()
