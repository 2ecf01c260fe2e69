"""What signals do to a command that is no service. See `pets.serving.signals` for one that is."""

import logging
import signal
import threading


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
