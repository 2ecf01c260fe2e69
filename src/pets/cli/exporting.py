"""Pets from a store into a file: `pets export`."""

import asyncio
import io
import signal
from collections.abc import Collection, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from select import PIPE_BUF
from typing import Final

from pets.api.formats import Delimited, last_id_line, ndjson_lines
from pets.bootstrap.stores import files_of, open_store
from pets.cli.console import (
    STANDARD_OUTPUT,
    CommandFailed,
    failures_of,
    progress,
    say,
    shows_progress,
)
from pets.cli.files import is_special, refuse_parts, replacing, sync
from pets.domain.query import PetQuery
from pets.domain.repository import PetRepository
from pets.settings import Settings

READER_SECONDS: Final = 60.0
"""How long a reader may take nothing.

As long as an export lasts, the store keeps what others change and delete meanwhile.
"""


def export_pets(
    settings: Settings, query: PetQuery, output: str, delimited: Delimited | None
) -> None:
    """Export the pets that a query chooses into a file, or to standard output, which is `-`.

    The file appears whole or not at all, and then this says how many pets it has.
    Raises `CommandFailed`, also if the reader takes nothing for a minute, `StoreUnavailable`,
    `ReaderGone` if the reader stops early, or `KeyboardInterrupt` for SIGINT.
    """
    # asyncio's own handler waits for the next turn of its loop. A reader that does not read could
    # keep that from coming.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGALRM, _give_up)
    name = "standard output" if output == "-" else output
    with failures_of(name), _opened(output, files_of(settings)) as file:
        number = asyncio.run(_export(settings, query, file, delimited))
    say(f"exported {number:,}")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


async def _export(
    settings: Settings, query: PetQuery, file: io.RawIOBase, delimited: Delimited | None
) -> int:
    """Return how many pets were written."""
    done = highest = 0
    with progress("exporting") as show:
        async with (
            open_store(settings, writes=False) as store,
            aclosing(store.export(query)) as batches,
        ):
            total = None
            if shows_progress():
                (page,) = await store.pages([replace(query, limit=0)])
                total = page.count
            if delimited:
                _write(file, delimited.header)
            async for pets in batches:
                _write(file, delimited.lines(pets) if delimited else ndjson_lines(pets))
                done += len(pets)
                highest = pets[-1].id if pets else highest
                show(done, total, done)
            if not delimited and query == PetQuery():
                await _write_last_id(file, store, highest)
    return done


async def _write_last_id(file: io.RawIOBase, store: PetRepository, highest: int) -> None:
    """Write how far ids have come, unless the highest exported id says it."""
    last_id = await store.last_id()
    if last_id is None:
        say("the file does not say which ids deleted pets had; that needs SELECT on pets_id_seq")
    elif last_id > highest:
        _write(file, last_id_line(last_id))


@contextmanager
def _opened(output: str, parts: Collection[Path]) -> Iterator[io.RawIOBase]:
    """Open a file that takes its place when all has been written.

    A device, a pipe or standard output is written to directly.
    """
    refuse_parts(output, parts)
    is_standard = output == "-"
    if is_standard or is_special(Path(output)):
        destination = STANDARD_OUTPUT if is_standard else output
        with io.FileIO(destination, "w", closefd=not is_standard) as file:
            yield file
            sync(file.fileno())
        return
    with replacing(Path(output)) as part, io.FileIO(part, "w") as file:
        yield file


def _write(file: io.RawIOBase, data: bytes) -> None:
    # Python would write a buffer when the process ends. A reader that does not read would then
    # keep the process from ending.
    rest = memoryview(data)
    while rest:
        with _limited_wait():
            written = file.write(rest[:PIPE_BUF])
        rest = rest[written:]


@contextmanager
def _limited_wait() -> Iterator[None]:
    """End a write that waits too long for its reader. asyncio could not end it."""
    signal.setitimer(signal.ITIMER_REAL, READER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _give_up(*_: object) -> None:
    raise CommandFailed(f"the reader of the output took nothing for {READER_SECONDS:.0f} seconds")
