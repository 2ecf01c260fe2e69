"""What signals do.

A handler raises no exception in a service, because an exception can be lost: Python only prints
those that leave a finalizer or a callback of the garbage collector.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ALL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed_signals() -> None:
    """Let SIGTERM and SIGINT raise `KeyboardInterrupt` in a command that is no service.

    Until now they ended the process at once. `pets.__main__` repeats an exception that is lost.
    SIGHUP ends the command at once, as it does by default.
    """
    # A signal may cancel a connection within asyncio's own callback, which then logs an error.
    # The errors of a command are raised, so it needs no log.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    threading.excepthook = _report_failed_thread
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _raise_sigint)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])


def _raise_sigint(*_: object) -> None:
    # Some programs send SIGTERM twice. The second one must not disturb the end of the command.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # See `pets.__main__`.
    signal.raise_signal(signal.SIGINT)


def _report_failed_thread(failed: threading.ExceptHookArgs) -> None:
    # The thread of a SQLite connection that was cut off finds that its loop is closed.
    if not isinstance(failed.exc_value, RuntimeError):
        threading.__excepthook__(failed)


def end_by_signals() -> None:
    """Let SIGTERM and SIGINT end a process at once, with status 0, and ignore SIGHUP.

    This is for a service that does not serve yet, and for a worker that does not either.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])


class Signals:
    """What signals have asked of the parent of the workers: from now on they are only noted."""

    def __init__(self) -> None:
        self.must_stop = False
        self.must_renew = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._renew)

    def _stop(self, *_: object) -> None:
        self.must_stop = True

    def _renew(self, *_: object) -> None:
        self.must_renew = True


@contextmanager
def signals_wait() -> Iterator[None]:
    """Let signals wait until the end of this block, in which a new process chooses its handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
