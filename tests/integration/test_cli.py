"""The command line when its store or its port cannot be used."""

import os
import signal
import socket
import subprocess

import pytest

from pets.cli.main import main
from tests.integration.served import COMMAND, start


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://pets:hunter2@127.0.0.1:1/pets",
        "postgres://pets:hunter2@127.0.0.1:1/pets?sslmode=disable",
        "postgresql+asyncpg://pets:hunter2@127.0.0.1:1/pets?application_name=x",
        "postgresql://pets:hunter2@nowhere.invalid/pets",
        "postgresql://pets:hunter2@" + "a" * 70 + ".invalid/pets",
        "sqlite+aiosqlite:////nowhere/pets.db",
    ],
)
@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_an_unreachable_store_is_one_line_and_exit_code_1(
    url: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the setting and shows no password."""
    monkeypatch.setenv("PETS_DATABASE_URL", url)
    monkeypatch.setenv("PETS_STARTUP_TIMEOUT", "0")
    assert main([command]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pets: PETS_DATABASE_URL: cannot use ")
    assert "hunter2" not in line


def test_a_port_in_use_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the setting."""
    monkeypatch.setenv("PETS_DATABASE_URL", "memory://")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "PETS_PORT" in line


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_start_that_waits_for_the_store(number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://pets@127.0.0.1:{silent.getsockname()[1]}/pets"
        with start("serve", database_url=url) as process, silent.accept()[0]:
            process.send_signal(number)
            assert process.wait(timeout=10) == 0


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("output", "reason"),
    [("/dev/full", "No space left on device"), (None, "Bad file descriptor")],
)
@pytest.mark.parametrize(
    "command", ["--help", "--version", "serve --help", "keys -h", "keys new --help", "openapi"]
)
def test_a_document_that_cannot_be_printed_is_one_line_and_exit_code_1(
    command: str, output: str | None, reason: str
) -> None:
    def replace_standard_output() -> None:
        if output:
            os.dup2(os.open(output, os.O_WRONLY), 1)
        else:
            os.close(1)

    done = subprocess.run(
        [*COMMAND, *command.split()],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=replace_standard_output,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, f"pets: standard output: {reason}\n")
