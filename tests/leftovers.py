"""Fails each test that leaves something behind. Otherwise a later test could fail in its place.

A test ends its tasks, awaits its coroutines, and ends or closes its threads, processes and sockets.
"""

import asyncio
import gc
import logging
import os
import resource
import secrets
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

MARK: Final = "TEST_THAT_RUNS"
"""A variable of the environment, by which a process is known to be of this test."""

ANYIO_TASK: Final = "TestRunner._run_tests_and_fixtures"
"""anyio runs tests in this task, which ends when their loop is closed."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SECONDS_TO_END = 10.0
"""How long threads and processes may take to end when nobody needs them any more."""


@dataclass(frozen=True)
class _Held:
    """What this process holds at a time."""

    threads: set[threading.Thread]
    sockets: set[int]
    processes: set[int]

    @classmethod
    def now(cls) -> "_Held":
        return cls(set(threading.enumerate()), _sockets(), _children())

    def threads_and_sockets_left(self) -> list[str]:
        """Name those that have come since, and have not ended or been closed."""
        threads = [thread for thread in threading.enumerate() if _is_left(thread, self.threads)]
        sockets = _sockets() - self.sockets
        return [f"a thread: {it}" for it in threads] + [f"a socket: number {it}" for it in sockets]

    def processes_left(self, others: set[int]) -> list[str]:
        left = (_children() | others) - self.processes
        end = time.monotonic() + SECONDS_TO_END
        while left and time.monotonic() < end:  # They may be about to end.
            left = {pid for pid in left if Path(f"/proc/{pid}").exists()}
            time.sleep(0.01)
        return [f"a process: {_command(pid)}" for pid in left]


@pytest.fixture(scope="module")
def shared_connections() -> None:
    """Allows the tests of a module to open connections that a fixture closes after the module."""


@pytest.fixture(scope="module", autouse=True)
def nothing_left_by_the_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the last test of a module if the fixtures that its tests share left something behind."""
    failed = request.session.testsfailed
    before = _Held.now()
    yield
    gc.unfreeze()
    gc.collect()
    if request.session.testsfailed == failed:
        _fail_if_any(before.threads_and_sockets_left() + before.processes_left(set()))


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test if it, or a fixture that is its own, left something behind."""
    # A task that waits for ever is garbage. If it were collected before its loop is closed, nobody
    # would know of it. So Python collects garbage after a test, and only that of the test.
    gc.freeze()
    gc.disable()
    failed = request.session.testsfailed
    before = _Held.now()
    ended = _ended_children()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark := secrets.token_hex())
        tasks = _watch_closing_loops(patch)
        yield
    request.node.funcargs = {}  # pytest would keep the fixtures' values until later.
    gc.enable()
    gc.collect()  # A coroutine that was never awaited complains now, and pytest fails the test.
    if request.session.testsfailed > failed:
        return  # The traceback still holds what the test used.
    left = [f"a task: {task}" for task in tasks]
    if "shared_connections" not in request.fixturenames:
        left += before.threads_and_sockets_left()
    left += before.processes_left(_marked(mark) if _ended_children() != ended else set())
    _fail_if_any(left)


def _fail_if_any(left: list[str]) -> None:
    if left:
        pytest.fail("\n".join(["This was left behind:", *left]), pytrace=False)


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Undo what a command of `pets` does to the signals, threads and log of its process."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    report_failed_thread = threading.excepthook
    levels = _levels_of_loggers()
    yield
    threading.excepthook = report_failed_thread
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name in _levels_of_loggers().keys() | levels.keys():
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
    for log_handler in logging.root.handlers[:]:
        if type(log_handler) is logging.StreamHandler:  # Those of pytest are of other classes.
            logging.root.removeHandler(log_handler)


def _levels_of_loggers() -> dict[str, int]:
    loggers = logging.root.manager.loggerDict.items()
    return {
        name: logger.level
        for name, logger in loggers
        if isinstance(logger, logging.Logger) and logger.level
    }


def _watch_closing_loops(patch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that will hold the tasks that have not ended when their loop is closed."""
    tasks: list[str] = []
    close = asyncio.Runner.close

    def watched_close(runner: asyncio.Runner) -> None:
        pending = asyncio.all_tasks(runner.get_loop())
        tasks.extend(repr(task) for task in pending if not _is_of_anyio(task))
        close(runner)

    patch.setattr(asyncio.Runner, "close", watched_close)
    return tasks


def _is_of_anyio(task: asyncio.Task[object]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == ANYIO_TASK


def _is_left(thread: threading.Thread, before: set[threading.Thread]) -> bool:
    # Threads of an executor live as long as their loop, which the tests of a module can share.
    if thread in before or thread.name.startswith("asyncio_"):
        return False
    thread.join(SECONDS_TO_END)
    return thread.is_alive()


# On systems without /proc, the functions below find nothing.


def _sockets() -> set[int]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # This one was open to list the others.
            status = os.fstat(int(descriptor.name))
            if stat.S_ISSOCK(status.st_mode):
                found.add(status.st_ino)
    return found


def _children() -> set[int]:
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # The thread has ended.
            found.update(map(int, (thread / "children").read_text().split()))
    return found


def _ended_children() -> int:
    """Return a number that grows with each child that has ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def _marked(mark: str) -> set[int]:
    """Return the processes with this mark, which can be children of children that have ended."""
    found = set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # The process has ended, or is another user's.
            if f"{MARK}={mark}".encode() in environment.read_bytes():
                found.add(int(environment.parent.name))
    # The embedded PostgreSQL begins with the first test that needs it, and serves the others too.
    return {pid for pid in found if "/pginstall" not in _command(pid)}


def _command(pid: int) -> str:
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        return f"{pid} {command.decode(errors='replace')}"
    return f"{pid}"
