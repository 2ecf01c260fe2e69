"""Signals that come at any moment, from the first line of a command to the end of its process."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.served import COMMAND, Served, start
from tests.integration.serving.test_workers import started_with

pytestmark = pytest.mark.thorough

# Python tells an audit hook of each import, each socket, each call of SQLite, and so on.
SIGNAL_AT = """
import gc, os, signal, sys, threading
process = os.getpid()
is_due = False
thresholds = gc.get_threshold()

def hook(event, arguments):
    global is_due
    if not is_due and {moment!r} in (event, f"import {{arguments[0]}}" if arguments else ""):
        is_due = True
        if {collecting}:
            gc.set_threshold(1)
        else:
            os.kill(process, {number})

def collected(phase, info):
    # Only the main thread handles signals.
    is_main = threading.current_thread() is threading.main_thread()
    if is_due and is_main and {collecting} and os.getpid() == process:
        gc.callbacks.remove(collected)
        gc.set_threshold(*thresholds)
        os.kill(process, {number})

sys.addaudithook(hook)
gc.callbacks.append(collected)
"""
SIGNAL_IN_THE_FIRST_WORKER = """
import itertools, os, signal
number = itertools.count()

def send():
    if next_number == 0:
        os.kill(os.getpid(), signal.SIGTERM)

def count():
    global next_number
    next_number = next(number)

os.register_at_fork(before=count, after_in_child=send)
"""

Start = Callable[..., None]


@pytest.fixture
def signal_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Let each process that starts send itself a signal at a moment.

    With `collecting` that is within the first collection of garbage after the moment.
    """

    def send(moment: str, number: signal.Signals, *, collecting: bool = False) -> None:
        program = SIGNAL_AT.format(moment=moment, number=int(number), collecting=collecting)
        started_with(program, tmp_path, monkeypatch)

    return send


def run(*arguments: str, store: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PETS_DATABASE_URL": f"sqlite:///{store}"}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_sigterm_ends_a_command_that_is_loading(
    command: str, signal_at: Start, tmp_path: Path
) -> None:
    signal_at("import sqlalchemy", signal.SIGTERM)
    done = run(command, store=tmp_path / "pets.db")
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("moment", "collecting"),
    [("sqlite3.connect", False), ("socket.bind", False), ("socket.bind", True)],
)
def test_sigterm_ends_a_service_that_is_starting(
    moment: str, *, collecting: bool, signal_at: Start, tmp_path: Path
) -> None:
    signal_at(moment, signal.SIGTERM, collecting=collecting)
    done = run("serve", "--port", "0", store=tmp_path / "pets.db")
    assert done.returncode == 0
    assert "Exception" not in done.stderr
    assert "KeyboardInterrupt" not in done.stderr


@pytest.mark.parametrize("collecting", [False, True])
def test_sigterm_ends_a_command_that_works(
    *, collecting: bool, signal_at: Start, tmp_path: Path
) -> None:
    """Python does not pass on what is raised within the garbage collector. So it is repeated."""
    signal_at("sqlite3.connect", signal.SIGTERM, collecting=collecting)
    done = run("migrate", store=tmp_path / "pets.db")
    assert (done.returncode, done.stderr) == (130, "pets: interrupted\n")


@pytest.mark.parametrize("moment", ["import sqlalchemy", "socket.bind"])
def test_sighup_does_not_end_a_service_that_is_starting(
    moment: str, signal_at: Start, tmp_path: Path
) -> None:
    signal_at(moment, signal.SIGHUP)
    with start("serve", "--port", "0", database_url=f"sqlite:///{tmp_path}/pets.db") as process:
        service = Served(process, 0)
        service.wait_for_line("startup complete")
        assert service.stop() == 0


def test_sighup_does_not_end_a_service_that_waits_for_its_store() -> None:
    with start("serve", database_url="postgresql://pets@127.0.0.1:1/pets") as process:
        service = Served(process, 0)
        service.wait_for_line("waiting up to")
        process.send_signal(signal.SIGHUP)
        service.wait_for_line("waiting up to")
        assert service.stop() == 0


def test_sigterm_ends_a_worker_that_is_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is replaced."""
    started_with(SIGNAL_IN_THE_FIRST_WORKER, tmp_path, monkeypatch)
    with start("serve", "--port", "0", database_url="memory://") as process:
        service = Served(process, 0)
        service.wait_for_line("ended with status 0")
        service.wait_for_line("startup complete")
        assert service.stop() == 0
