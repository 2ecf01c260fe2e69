"""`pets` whose event loop is stuck from SIGUSR2 on: `python -m tests.faults.stuck serve`."""

import ctypes
import signal
import sys

from pets.cli.main import main


def be_stuck(*_: object) -> None:
    while True:
        # This sleep keeps the interpreter's lock, so no other thread can run either.
        ctypes.PyDLL(None).sleep(60)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, be_stuck)  # The workers inherit it.
    sys.exit(main(sys.argv[1:]))
