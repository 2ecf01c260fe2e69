"""What the commands say: messages and progress on standard error, documents on standard output.

Standard error never decides what a command does: if it cannot be written to, it is left alone.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2

Show = Callable[[int, int | None, int], None]
"""Shows how much is done, of how much if that is known, and how many pets that is."""


class _Forgiving:
    """A stream as long as it can be written to; then nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.isatty = stream.isatty

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            _discard(STANDARD_ERROR)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _discard(STANDARD_ERROR)


def say(message: object) -> None:
    """Print a message for the user, in one line."""
    print(f"pets: {message}", file=_Forgiving(sys.stderr), flush=True)


def print_document(text: str) -> None:
    """Print to standard output. Raises `OSError` if it cannot be written, save by a lost reader."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # The reader has all that it wants.
        _discard(STANDARD_OUTPUT)
    except OSError:
        _discard(STANDARD_OUTPUT)
        raise


def _discard(number: int) -> None:
    # What Python still holds for this file it writes when it ends, and it would fail once more.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def shows_progress() -> bool:
    return sys.stderr.isatty()


@contextmanager
def progress(action: str) -> Iterator[Show]:
    """Show progress as a bar on a terminal, and not at all elsewhere."""
    if not shows_progress():
        yield _show_nothing
        return
    from rich import console, progress  # noqa: PLC0415  # slow to load, and a service needs none

    text = "{task.description} {task.fields[pets]:>12,} pets {task.fields[rate]:>9,.0f}/s"
    columns = (progress.TextColumn(text), progress.BarColumn(), progress.TimeRemainingColumn())
    stderr = _Forgiving(sys.stderr)
    terminal = console.Console(file=stderr)  # type: ignore[arg-type]  # rich uses no more of it
    with progress.Progress(*columns, console=terminal) as bar:
        task = bar.add_task(action, total=None, pets=0, rate=0)
        began = time.monotonic()

        def show(done: int, total: int | None, pets: int) -> None:
            rate = pets / max(time.monotonic() - began, 0.001)
            bar.update(task, completed=done, total=total, pets=pets, rate=rate)

        yield show


def _show_nothing(*_: object) -> None:
    pass
