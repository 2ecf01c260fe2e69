"""How signals end a command."""

import logging
import signal


def heed_signals() -> None:
    """Let SIGTERM and SIGINT raise `KeyboardInterrupt`. Until now they ended the process at once.

    While a service runs, uvicorn handles both signals, and raises them again when it has stopped.
    """
    # A signal may cancel a connection within asyncio's own callback, which then logs an error.
    # The errors of a command are raised, so it needs no log.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _raise_sigint)


def _raise_sigint(*_: object) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # See `pets.__main__`.
    signal.raise_signal(signal.SIGINT)
