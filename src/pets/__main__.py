"""The start of the command `pets`, which is also `python -m pets`, and its end."""

import gc
import os
import signal
import sys
from typing import Final, NoReturn

_INTERRUPTED: Final = 130

# Each is opened for the wrong direction, so that a command that needs the file fails.
_SUBSTITUTES: Final = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}

_REPEAT_SECONDS: Final = 0.01

_OBJECTS: Final = 500_000
"""How many new objects Python makes before it looks through them for garbage.

The modules of a service make 220,000 that stay. By default they would be looked through again and
again, which takes a seventh of the time of a start.
"""


def main() -> NoReturn:
    """Run the command, and end the process with its exit status.

    A signal has its effect at any time from here on: `pets.cli.signals` says which for commands,
    and `pets.serving.signals` for the service.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts the background commands of a script like this, so that Ctrl-C does not
        # end them. SIGINT is blocked before any thread starts. SIGTERM unblocks and raises it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    # The import takes a while. Signals must end it, too, and without a traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_at_once)
    # A command ends by SIGHUP, and a service does not. What this is will be known later.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    signal.signal(signal.SIGALRM, _repeat)
    sys.unraisablehook = _repeat_if_lost
    _replace_closed_files()
    gc.set_threshold(_OBJECTS)
    from pets.cli.main import main as run  # noqa: PLC0415

    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # This is the second one.
        status = _INTERRUPTED
    # Python itself would first wait for the threads of connections that were cut off. It would
    # also let a signal replace the status. Everything that was printed has been flushed.
    os._exit(status)


def _end_at_once(*_: object) -> None:
    os._exit(_INTERRUPTED)


def _repeat_if_lost(lost: "sys.UnraisableHookArgs") -> None:
    """Raise `KeyboardInterrupt` again if it was raised where Python cannot pass it on.

    Such places are finalizers and callbacks of the garbage collector.
    """
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _REPEAT_SECONDS)  # when they have ended
    else:
        sys.__unraisablehook__(lost)


def _repeat(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


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
    main()
