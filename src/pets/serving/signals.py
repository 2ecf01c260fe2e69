"""What signals do to a service, while it starts and while it serves.

A handler raises no exception, because an exception can be lost: Python only prints those that
leave a finalizer or a callback of the garbage collector.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ALL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
