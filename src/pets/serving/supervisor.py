"""The parent of the workers: it starts them, watches them, and replaces those that end.

uvicorn has one too. But it asks a thread whether a worker is well, so it does not see a stuck
event loop. Its workers stay when it is killed, and it heeds no signal while it replaces workers.
"""

import faulthandler
import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from socket import socket
from typing import Final, NoReturn

from pets.serving.errors import CannotServe
from pets.serving.signals import Signals, end_by_signals, signals_wait
from pets.serving.systemd import tell_systemd

STUCK_SECONDS: Final = 6
"""After so long without a sign of life a worker shows its stacks, and is killed."""

START_SECONDS: Final = 30
"""How long a worker may take to start. On a busy machine that can be long."""

_TURN_SECONDS: Final = 0.1
_MAX_TURN_SECONDS: Final = 0.5
"""If more time has passed, this process was stopped, or the machine slept. It does not count."""

_DUMP_SECONDS: Final = 0.5
"""How long a stuck worker may take to show its stacks."""

_PAUSE_SECONDS: Final = 1
"""How long to wait after a worker could not start, because the next one may fail too."""

logger = logging.getLogger(__name__)

Work = Callable[[int, int, int], None]
"""Serves. The first file ends when the worker must stop; signs of life go into the second.

The third argument is a slot: a small number that no other worker has at the same time.
"""

Export = Callable[[int], None]
"""Shows the metrics until this file ends."""

CountEnd = Callable[[int, bool], None]
"""Gets the slot of a worker that has ended, and whether it was told to."""


class _Child:
    """A worker, as its parent knows it."""

    def __init__(self, pid: int, slot: int, signs_of_life: int) -> None:
        self.pid = pid
        self.slot = slot
        self.signs_of_life = signs_of_life
        self.is_ready = False
        self.is_old = False  # to be replaced
        self.is_leaving = False
        self._silent_seconds = 0.0

    def watch(self, seconds: float) -> None:
        """Kill this worker if it is stuck. So many seconds have passed since the last watch."""
        self._silent_seconds += seconds
        if self._read_signs_of_life():
            self.is_ready = True
            self._silent_seconds = 0
        limit = STUCK_SECONDS if self.is_ready else START_SECONDS
        if self._silent_seconds > limit:
            self._silent_seconds = 0
            logger.error("Worker %d is stuck, and is killed. Its stacks:", self.pid)
            os.kill(self.pid, signal.SIGQUIT)
            time.sleep(_DUMP_SECONDS)  # Nothing tells when the stacks are written.
            os.kill(self.pid, signal.SIGKILL)

    def _read_signs_of_life(self) -> bool:
        try:
            return bool(os.read(self.signs_of_life, 4096))
        except BlockingIOError:
            return False


class Supervisor:
    """Keeps so many workers at work, and a process that shows their metrics, if there are any.

    SIGTERM and SIGINT stop them. SIGHUP replaces them one by one: each goes when another one is
    ready. So there is at most one more than the number. Signals are noted from the construction on.
    """

    def __init__(self, work: Work, number: int, listener: socket) -> None:
        self._signals = Signals()
        self._work = work
        self._export: Export | None = None
        self._count_end: CountEnd | None = None
        self._exporter = 0  # the number of its process, or 0 if it must be started
        self._number = number
        self._listener = listener
        self._workers: list[_Child] = []
        self._watched = time.monotonic()  # at this time for the last time
        self._may_start = self._watched  # from this time on
        self._was_ready = False  # any worker
        self._has_failed = False
        # Only this process has the end that is written to, so the pipe ends with this process.
        self._end_of_work, self._lifeline = os.pipe()

    def run(
        self,
        each_turn: Callable[[], None] | None = None,
        export: Export | None = None,
        count_end: CountEnd | None = None,
    ) -> None:
        """Return when a signal to stop has come and all workers have ended.

        `each_turn` is called several times a second, in this process. It must return at once.
        Raises `CannotServe` if a worker ends before any was ready, as the next ones would too.
        """
        self._export = export
        self._count_end = count_end
        while not self._must_stop:
            try:
                self._start_and_replace()
            except OSError as error:  # There are too many processes, or too little memory.
                logger.error("Cannot start a worker: %s", error)  # noqa: TRY400  # It is no bug.
                self._may_start = time.monotonic() + _PAUSE_SECONDS
            self._watch()
            if each_turn:
                each_turn()
        logger.info("Stopping %d workers", len(self._workers))
        tell_systemd("STOPPING=1")
        self._listener.close()
        os.close(self._lifeline)
        while self._workers:
            self._watch()
        if self._exporter:  # It answers those who look for as long as workers finish requests.
            os.kill(self._exporter, signal.SIGKILL)
            os.waitpid(self._exporter, 0)
        if self._has_failed:
            raise CannotServe("no worker could start; the lines above say why")

    @property
    def _must_stop(self) -> bool:
        return self._signals.must_stop or self._has_failed

    def _start_and_replace(self) -> None:
        if self._signals.must_renew:
            self._signals.must_renew = False
            logger.info("Replacing %d workers", len(self._workers))
            for worker in self._workers:
                worker.is_old = True
        has_old = any(worker.is_old for worker in self._workers)
        while len(self._workers) < self._number + has_old:
            if time.monotonic() < self._may_start:
                return
            self._start()
        if self._export and not self._exporter and time.monotonic() >= self._may_start:
            self._exporter = self._fork(partial(self._export, self._end_of_work))
        oldest = self._workers[0]  # They are in the order in which they were started.
        all_are_ready = all(worker.is_ready for worker in self._workers)
        if has_old and all_are_ready and not oldest.is_leaving:
            oldest.is_leaving = True
            os.kill(oldest.pid, signal.SIGTERM)

    def _start(self) -> None:
        signs_of_life, sign = os.pipe()
        os.set_blocking(signs_of_life, False)
        os.set_blocking(sign, False)
        taken = {worker.slot for worker in self._workers}
        slot = min(set(range(len(taken) + 1)) - taken)
        try:
            pid = self._fork(partial(self._work, self._end_of_work, sign, slot))
        except OSError:
            os.close(signs_of_life)
            raise
        finally:
            os.close(sign)
        self._workers.append(_Child(pid, slot, signs_of_life))

    def _fork(self, work: Callable[[], None]) -> int:
        """Start a process that does this work, and return its number.

        It has all modules, so it starts within a fraction of a second. This parent runs no thread
        that a fork could leave behind.
        """
        with signals_wait():
            pid = os.fork()
            if pid == 0:
                end_by_signals()
        if pid == 0:
            self._be_child(work)
        return pid

    def _be_child(self, work: Callable[[], None]) -> NoReturn:
        status = 1
        try:
            os.close(self._lifeline)
            faulthandler.register(signal.SIGQUIT)
            work()
            status = 0
        except Exception:  # Whatever it is, this process ends.
            logger.exception("A worker failed")
        finally:  # This process must not go on as its parent does.
            os._exit(status)

    def _watch(self) -> None:
        signs = [worker.signs_of_life for worker in self._workers]
        wait(signs, _TURN_SECONDS)  # This notices the end of a worker, too.
        now = time.monotonic()
        seconds = min(now - self._watched, _MAX_TURN_SECONDS)
        self._watched = now
        for worker in self._workers.copy():
            worker.watch(seconds)
            if worker.is_ready and not self._was_ready:
                self._was_ready = True
                tell_systemd("READY=1")
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._forget(worker, os.waitstatus_to_exitcode(status))
        if self._exporter and os.waitpid(self._exporter, os.WNOHANG)[0]:
            self._exporter = 0
            if not self._must_stop:
                logger.error("The process that shows the metrics ended. It is started again.")
                self._may_start = now + _PAUSE_SECONDS

    def _forget(self, worker: _Child, status: int) -> None:
        self._workers.remove(worker)
        os.close(worker.signs_of_life)
        was_told = worker.is_leaving or self._must_stop
        if self._count_end:
            self._count_end(worker.slot, was_told)
        if was_told:
            return
        logger.error("Worker %d ended with status %d.", worker.pid, status)
        if not worker.is_ready:
            self._may_start = time.monotonic() + _PAUSE_SECONDS
        # A worker that starts ends with 0 if somebody told it to. The next one may well start.
        if status and not self._was_ready:
            self._has_failed = True
