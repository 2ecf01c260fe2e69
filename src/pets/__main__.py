"""The start of the command `pets`, which is also `python -m pets`."""

import os
import signal
import sys
from typing import Final

# Each is opened for the wrong direction, so that a command that needs the file fails.
_SUBSTITUTES: Final = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}


def main() -> int:
    """Run the command and return its exit status."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts the background commands of a script like this, so that Ctrl-C does not
        # end them. SIGINT is blocked before any thread starts. SIGTERM unblocks and raises it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, _end_at_once)
    _replace_closed_files()
    # The import takes a while. Ctrl-C must end it too, without a traceback.
    from pets.cli.main import main as run  # noqa: PLC0415

    return run(sys.argv[1:])


def _end_at_once(*_: object) -> None:
    os._exit(130)


def _replace_closed_files() -> None:
    """Open standard input, output and error if they are closed.

    Otherwise the next file that is opened, such as the store, would take the number of one of
    them, and messages would be written into it.
    """
    for number, direction in _SUBSTITUTES.items():
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, direction)  # This takes the lowest free number, which is `number`.
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # It stays open.
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115  # It stays open.


if __name__ == "__main__":
    raise SystemExit(main())
