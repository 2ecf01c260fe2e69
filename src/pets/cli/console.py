"""What the commands print: messages and progress on standard error, documents on standard output.

A command does its work even if standard error cannot be written to.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

import click

STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2

Show = Callable[[int, int | None, int], None]
"""Shows how much is done, of how much in all if that is known, and how many pets that is."""


class CommandFailed(Exception):
    """A command cannot do its work. The message is one line that says why."""


class ReaderGone(CommandFailed):
    """The reader of the output has gone, most often because it has all that it wants."""


class Interrupted(Exception):
    """A signal has ended a command. The message says what that means for its work, if anything."""


class _Forgiving:
    """A text stream that discards what it cannot write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.isatty = stream.isatty

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            discard(STANDARD_ERROR)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            discard(STANDARD_ERROR)


def say(message: object) -> None:
    """Print a message for the user as one line."""
    show(f"pets: {message}")


def show(text: str) -> None:
    """Print a text for the user to standard error."""
    print(text, file=_Forgiving(sys.stderr), flush=True)


class _Saying(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextmanager
def warnings_said() -> Iterator[None]:
    """Print what `pets` warns of as messages for the user, until the end of the block."""
    logger = logging.getLogger("pets")
    handler = _Saying(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def print_document(text: str) -> None:
    """Print to standard output. Raises `CommandFailed`, such as `ReaderGone`."""
    try:
        with failures_of("standard output"):
            print(text, flush=True)
    except CommandFailed:
        discard(STANDARD_OUTPUT)
        raise


class Command(click.Command):
    """A command whose help is printed like any other document, so that a failure is one line."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option:
            option.callback = _print_help
        return option


def _print_help(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click calls it.
    if wanted and not ctx.resilient_parsing:  # Otherwise a shell completes the line.
        print_document(ctx.get_help())
        ctx.exit()


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type

    def invoke(self, ctx: click.Context) -> int:
        """Run a command and return its exit status. Raises `Interrupted`."""
        try:
            status: int = super().invoke(ctx)
        except KeyboardInterrupt as effect:  # click would print an empty line.
            raise Interrupted(str(effect)) from None
        return status


@contextmanager
def failures_of(file: str) -> Iterator[None]:
    """Turn a failure to read or write a file into a message that names the file.

    Raises `CommandFailed`, such as `ReaderGone`.
    """
    try:
        yield
    except OSError as error:
        kind = ReaderGone if isinstance(error, BrokenPipeError) else CommandFailed
        raise kind(f"{file}: {error.strerror}") from error


def discard(number: int) -> None:
    """Send all further output of a standard file nowhere.

    Python writes its buffers once more when it ends, and that would fail again.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def shows_progress() -> bool:
    return sys.stderr.isatty()


@contextmanager
def progress(action: str) -> Iterator[Show]:
    """Show a progress bar on a terminal, and nothing elsewhere."""
    from rich import console, progress  # noqa: PLC0415  # Only import and export need rich.

    text = "{task.description} {task.fields[pets]:>12,} pets {task.fields[rate]:>9,.0f}/s"
    columns = (progress.TextColumn(text), progress.BarColumn(), progress.TimeRemainingColumn())
    stderr = _Forgiving(sys.stderr)
    terminal = console.Console(file=stderr)  # type: ignore[arg-type]  # rich uses no more of it
    with progress.Progress(*columns, console=terminal, disable=not shows_progress()) as bar:
        task = bar.add_task(action, total=None, pets=0, rate=0)
        began = time.monotonic()

        def show(done: int, total: int | None, pets: int) -> None:
            rate = pets / max(time.monotonic() - began, 0.001)
            bar.update(task, completed=done, total=total, pets=pets, rate=rate)

        yield show
