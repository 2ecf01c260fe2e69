"""`pets serve`, whose workers count what they were doing, every few milliseconds of their CPU time.

On SIGUSR1 a worker writes its counts into the file SAMPLES, and begins anew.
"""

import json
import os
import signal
import sys
from collections import Counter
from opcode import opmap
from pathlib import Path
from types import FrameType
from typing import Final

from pets.cli.main import main

INTERVAL_SECONDS: Final = 0.001
"""Linux looks at such a timer only at its own ticks, which can be 4 ms apart."""

PACKAGES: Final = ("pets.", "litestar.", "uvicorn.", "sqlalchemy.", "asyncpg.", "asyncio.")
NOWHERE: Final = "nowhere"
"""Stands for a function if none of these packages has one that runs."""

_RESUME: Final = opmap["RESUME"]
_samples: Counter[str] = Counter()


def _count(_: int, frame: FrameType | None) -> None:
    """Count the innermost function of the packages.

    Python calls this when it next calls, enters or resumes a function. If it enters or resumes
    one, the time was spent before: in the function's caller. The first one of a greenlet has none.
    """
    if frame is not None and frame.f_code.co_code[frame.f_lasti] == _RESUME:
        frame = frame.f_back or frame
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(PACKAGES):
            _samples[f"{module}:{frame.f_code.co_qualname}"] += 1
            return
        frame = frame.f_back
    _samples[NOWHERE] += 1


def _write(*_: object) -> None:
    path = Path(os.environ["SAMPLES"])
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(_samples))
    unfinished.rename(path)
    _samples.clear()


def _start() -> None:
    signal.signal(signal.SIGUSR1, _write)
    signal.signal(signal.SIGPROF, _count)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)


if __name__ == "__main__":
    os.register_at_fork(after_in_child=_start)
    sys.exit(main(sys.argv[1:]))
