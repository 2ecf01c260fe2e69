"""Pets out of a store into a file, and from a file into a store, line by line: `pets export` and `pets import`."""

import asyncio
import codecs
import io
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from pets.bootstrap import Settings, open_store
from pets.domain.query import PetQuery
from pets.formats import (
    CSV,
    CSV_HEADER,
    NDJSON,
    AnyPet,
    BadLine,
    KeptPetLine,
    PetLine,
    csv_lines,
    csv_reader,
    format_of,
    ndjson_lines,
    ndjson_reader,
)

STANDARD_INPUT: Final = "-"
MAX_LINE_BYTES: Final = 1024 * 1024

_BLOCK_BYTES: Final = 64 * 1024

Show = Callable[[int, int | None, int], None]


class TransferError(Exception):
    """A file that cannot be read or written. The message names it."""


class _Aborted(Exception):
    """There are bad lines, so nothing is to be imported."""


class _Lines:
    """The lines of a file as pets; every bad one is reported, with its number, as it is met."""

    def __init__(self, name: str, format_: str, struct: type[PetLine], *, strict: bool) -> None:
        self._name = name
        self._struct = struct
        self._strict = strict
        self._read = ndjson_reader(struct) if format_ == NDJSON else None  # that of CSV takes a header first
        self._number = 0  # of the last line
        self._blank = 0  # how many before the next are blank
        self.good = 0
        self.bad = 0

    def refuse(self, number: int, reason: object) -> None:
        self.bad += 1
        print(f"pets: {self._name}:{number}: {reason}", file=sys.stderr)

    async def pets(self, source: int, show: Show) -> AsyncGenerator[Sequence[tuple[int, AnyPet]], None]:
        """Give the pets with the numbers of their lines; if strict, none after a bad one, and `_Aborted` at the end."""
        status = os.fstat(source)
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        done, rest, block = 0, b"", b"..."
        while block:
            try:
                await _readable(source)
                block = os.read(source, _BLOCK_BYTES)
            except OSError as error:
                raise TransferError(f"{self._name}: {error.strerror}") from error
            *lines, rest = (rest + block).split(b"\n") if block else (rest, b"")
            rest = rest[: MAX_LINE_BYTES + 1]  # of a line that is too long no more is needed
            pets = list(self._pets(lines))
            if pets and not (self.bad and self._strict):
                yield pets
            done += len(block)
            show(done, size, self.good)
        if self._read is None:
            self._begin(b"")
        if self.bad and self._strict:
            raise _Aborted
        show(done, None, self.good)

    def _pets(self, lines: Sequence[bytes]) -> Iterator[tuple[int, AnyPet]]:
        for line in lines:
            self._number += 1
            text = line.removeprefix(codecs.BOM_UTF8) if self._number == 1 else line
            if not text or text.isspace():
                self._blank += 1
                continue
            for number in range(self._number - self._blank, self._number):
                self.refuse(number, "is blank")
            self._blank = 0
            if self._read is None:
                self._begin(text)
                continue
            try:
                if len(text) > MAX_LINE_BYTES:
                    raise BadLine("is over 1 MiB")  # noqa: TRY301  # as all other reasons
                pet = self._read(text)
            except BadLine as error:
                self.refuse(self._number, error)
            else:
                self.good += 1
                yield self._number, pet

    def _begin(self, header: bytes) -> None:
        try:
            self._read = csv_reader(self._struct, header)
        except BadLine as error:
            self.refuse(max(self._number, 1), error)
            raise _Aborted from None


async def _readable(source: int) -> None:
    """Wait until a read will not block, for who is blocked cannot be told to stop."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(source, readable.set)
    except PermissionError:  # a regular file, which never blocks
        await asyncio.sleep(0)
        return
    try:
        await readable.wait()
    finally:
        loop.remove_reader(source)


@contextmanager
def _progress(what: str) -> Iterator[Show]:
    """Give what shows, on a terminal, how much is done, of how much if that is known, and how many pets it was."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich import console, progress  # noqa: PLC0415  # takes long to load, and a service needs none of it

    columns = "{task.description} {task.fields[pets]:>12,} pets {task.fields[rate]:>9,.0f}/s"
    with progress.Progress(
        *(progress.TextColumn(columns), progress.BarColumn(), progress.TimeRemainingColumn()),
        console=console.Console(stderr=True),
    ) as bar:
        task = bar.add_task(what, total=None, pets=0, rate=0)
        began = time.monotonic()

        def show(done: int, total: int | None, pets: int) -> None:
            rate = pets / max(time.monotonic() - began, 0.001)
            bar.update(task, completed=done, total=total, pets=pets, rate=rate)

        yield show


def import_pets(settings: Settings, file: str, format_: str | None, *, keep_ids: bool, skip: bool) -> bool:
    """Import the pets of a file, `-` being standard input, and return whether it was done.

    Bad lines are reported; unless told to skip them, they have nothing imported. Nothing is either if this raises:
    `TransferError`, `StoreUnavailable`, or `KeyboardInterrupt` for SIGINT.
    """
    lines = _Lines(file, format_ or format_of(file), KeptPetLine if keep_ids else PetLine, strict=not skip)

    refused: list[Sequence[int]] = []  # empty until all is done
    aborted = False

    async def load(source: int) -> None:
        with _progress("importing") as show:
            async with open_store(settings) as store, aclosing(lines.pets(source, show)) as pets:
                refused.append(await store.load(pets, skip_taken=skip))

    try:
        source = (
            open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
            if file == STANDARD_INPUT
            else Path(file).open("rb", buffering=0)  # noqa: SIM115
        )
    except OSError as error:
        raise TransferError(f"{file}: {error.strerror}") from error
    with source:
        try:
            asyncio.run(load(source.fileno()))
        except KeyboardInterrupt:
            if not refused:
                raise  # else it came too late
        except _Aborted:
            refused.append(())
            aborted = True
    for number in refused[0]:
        lines.refuse(number, "its id is taken")
        lines.good -= 1
    done = not aborted and (skip or not lines.bad)
    summary = (
        f"imported {lines.good:,}, skipped {lines.bad:,}" if done else f"imported nothing; bad lines: {lines.bad:,}"
    )
    print(f"pets: {summary}", file=sys.stderr)
    return done


def export_pets(settings: Settings, query: PetQuery, format_: str | None, output: Path | None) -> None:
    """Export the pets that a query chooses into a file, which appears whole or not at all, or to standard output.

    Raises `TransferError`, `StoreUnavailable`, or `KeyboardInterrupt` for SIGINT.
    """
    format_ = format_ or format_of(str(output))
    # asyncio's own handler waits for the next turn of its loop, which a reader who does not read may keep from coming.
    signal.signal(signal.SIGINT, _interrupt)

    async def write(file: io.RawIOBase) -> None:
        done = 0
        with _progress("exporting") as show:
            async with open_store(settings) as store, aclosing(store.export(query)) as export:
                total = (await store.page(replace(query, limit=0))).count if sys.stderr.isatty() else None
                if format_ == CSV:
                    _write(file, CSV_HEADER)
                async for pets in export:
                    _write(file, csv_lines(pets) if format_ == CSV else ndjson_lines(pets))
                    done += len(pets)
                    show(done, total, done)

    try:
        with _whole(output) as file:
            asyncio.run(write(file))
    except BrokenPipeError:  # the reader has all that it wants
        pass
    except OSError as error:
        raise TransferError(f"{output or 'standard output'}: {error.strerror}") from error


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _whole(output: Path | None) -> Iterator[io.RawIOBase]:
    """Give a file that is put into its place when all has been written, unless a device or a pipe is there."""
    if output is None or (output.exists() and not output.is_file()):
        with open(output or 1, "wb", buffering=0, closefd=output is not None) as file:
            yield file
        return
    target = output.resolve()  # what a link points to
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with part.open("xb", buffering=0) as file:
            if target.exists():
                shutil.copymode(target, part)
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _write(file: io.RawIOBase, data: bytes) -> None:
    # Without a buffer, which would be written at the end of the process, to a reader who may not read.
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
