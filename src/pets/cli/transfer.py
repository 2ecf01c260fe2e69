"""Pets from a store into a file, and back: `pets export` and `pets import`."""

import asyncio
import codecs
import io
import os
import secrets
import shutil
import signal
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

from pets.api.formats import (
    CSV,
    CSV_HEADER,
    NDJSON,
    AnyPet,
    BadLine,
    KeptPetLine,
    PetLine,
    Read,
    csv_lines,
    csv_reader,
    csv_record_goes_on,
    format_of,
    ndjson_lines,
    ndjson_reader,
)
from pets.bootstrap import Settings, open_store
from pets.cli.console import STANDARD_OUTPUT, Show, progress, say, shows_progress
from pets.domain.query import PetQuery
from pets.domain.repository import PetRepository

STANDARD_STREAM: Final = "-"
"""The name of standard input, and of standard output."""

MAX_RECORD_BYTES: Final = 1024 * 1024

_BLOCK_BYTES: Final = 64 * 1024

NumberedPets = Sequence[tuple[int, AnyPet]]


class TransferError(Exception):
    """A file that cannot be read or written. The message names it."""


class _Aborted(Exception):
    """Nothing is imported, because there are bad records."""


class _Record(NamedTuple):
    """The text of one pet, and the numbers of its first and last line.

    Of a record over 1 MiB there is only the beginning.
    """

    text: bytes
    first: int
    last: int


class _Records:
    """Puts lines together to records: in CSV a line break within quotes belongs to its value."""

    def __init__(self, format_: str) -> None:
        self._is_csv = format_ == CSV
        self._number = 0  # of the last line
        self._first = 0  # the first line of the record that is open, or 0
        self._text = bytearray()  # of the record that is open

    def of(self, lines: Sequence[bytes]) -> Iterator[_Record]:
        """Give the records that end in these lines."""
        for line in lines:
            self._number += 1
            text = line.removeprefix(codecs.BOM_UTF8) if self._number == 1 else line
            is_open = self._first > 0
            goes_on = False
            if self._is_csv and (is_open or b'"' in text):
                goes_on = csv_record_goes_on(text, within_quotes=is_open)
            if not is_open and not goes_on:
                yield _Record(text, self._number, self._number)
                continue
            self._add(text)
            if not goes_on:
                yield from self.rest()

    def _add(self, line: bytes) -> None:
        if not self._first:
            self._first = self._number
            self._text += line
        elif len(self._text) <= MAX_RECORD_BYTES:
            self._text += b"\n" + line

    def rest(self) -> Iterator[_Record]:
        """Give the record that is open, if there is one: at the end of a file its quotes are."""
        if self._first:
            yield _Record(bytes(self._text), self._first, self._number)
            self._first = 0
            self._text.clear()


class _Reader:
    """Reads records as pets. Each bad record is reported, with the number of its first line."""

    def __init__(self, name: str, format_: str, struct: type[PetLine]) -> None:
        self._name = name
        self._struct = struct
        self._records = _Records(format_)
        self._read: Read | None = None  # That of CSV takes a header first.
        if format_ == NDJSON:
            self._read = ndjson_reader(struct)
        self._blank: list[int] = []  # the blank lines just before
        self.good = 0
        self.bad = 0

    def refuse(self, number: int, reason: object) -> None:
        self.bad += 1
        say(f"{self._name}:{number}: {reason}")

    def pets(self, lines: Sequence[bytes]) -> Iterator[tuple[int, AnyPet]]:
        """Give the pets of the records that end in these lines, each with its number."""
        return self._pets(self._records.of(lines))

    def rest(self) -> Iterator[tuple[int, AnyPet]]:
        """Give the pet that the file may end with. Raises `_Aborted` if there was no header."""
        yield from self._pets(self._records.rest())
        if self._read is None:
            self._begin(_Record(b"", 1, 1))

    def _pets(self, records: Iterator[_Record]) -> Iterator[tuple[int, AnyPet]]:
        for record in records:
            text = record.text
            if not text or text.isspace():
                self._blank.append(record.first)  # Only at the end of a file may lines be blank.
                continue
            if self._blank:
                self._refuse_blank_lines()
            if self._read is None:
                self._begin(record)
                continue
            try:
                pet = self._read(_whole(record))
            except BadLine as error:
                self.refuse(record.first, _with_extent(error, record))
            else:
                self.good += 1
                yield record.first, pet

    def _refuse_blank_lines(self) -> None:
        for number in self._blank:
            self.refuse(number, "is blank")
        self._blank.clear()

    def _begin(self, header: _Record) -> None:
        try:
            self._read = csv_reader(self._struct, _whole(header))
        except BadLine as error:
            self.refuse(header.first, _with_extent(error, header))
            raise _Aborted from None


def _whole(record: _Record) -> bytes:
    if len(record.text) > MAX_RECORD_BYTES:
        raise BadLine("is over 1 MiB")
    return record.text


def _with_extent(reason: object, record: _Record) -> str:
    if record.first == record.last:
        return str(reason)
    return f"{reason} (the record ends in line {record.last}, because a value in quotes does)"


async def _blocks(source: int, name: str) -> AsyncGenerator[bytes, None]:
    """Give what can be read from a file, a block at a time."""
    while True:
        try:
            await _readable(source)
            block = os.read(source, _BLOCK_BYTES)
        except OSError as error:
            raise TransferError(f"{name}: {error.strerror}") from error
        if not block:
            return
        yield block


async def _lines(blocks: AsyncIterable[bytes]) -> AsyncGenerator[Sequence[bytes], None]:
    """Give the lines that end in each block, and last the line that ends with the file."""
    rest = b""
    async for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        rest = rest[: MAX_RECORD_BYTES + 1]  # More is not needed of a line that is too long.
        yield lines
    yield [rest]


async def _readable(source: int) -> None:
    """Wait until a read will not block, because a blocking read could not be cancelled."""
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


class _State(Enum):
    """What became of an import."""

    UNDECIDED = auto()
    ABORTED = auto()
    DECIDED = auto()


@dataclass
class _Import:
    """An import of one file."""

    reader: _Reader
    name: str
    skip: bool
    state: _State = _State.UNDECIDED
    taken: Sequence[int] = ()  # the numbers of pets whose ids the store has already

    async def run(self, settings: Settings, source: int) -> None:
        with progress("importing") as show:
            async with open_store(settings) as store, aclosing(self._pets(source, show)) as pets:
                await self._load(store, pets)

    async def _load(self, store: PetRepository, pets: AsyncIterable[NumberedPets]) -> None:
        try:
            self.taken = await store.load(pets, skip_taken=self.skip)
        except _Aborted:
            self.state = _State.ABORTED
        else:
            self.state = _State.DECIDED

    async def _pets(self, source: int, show: Show) -> AsyncGenerator[NumberedPets, None]:
        """Give the pets of the file; unless bad records are skipped, none after the first.

        The file is read to its end all the same, so that every bad record is reported.
        """
        status = os.fstat(source)
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        done = 0
        async with aclosing(_lines(_blocks(source, self.name))) as blocks_of_lines:
            async for lines in blocks_of_lines:
                pets = list(self.reader.pets(lines))
                if pets and not self._is_refused:
                    yield pets
                done += sum(map(len, lines)) + len(lines)
                show(done, size, self.reader.good)
        pets = list(self.reader.rest())
        if self._is_refused:
            raise _Aborted
        if pets:
            yield pets
        show(done, None, self.reader.good)

    @property
    def _is_refused(self) -> bool:
        return self.reader.bad > 0 and not self.skip

    def report(self) -> bool:
        """Say what was imported, and return whether the import was done."""
        reader = self.reader
        for number in self.taken:
            reader.refuse(number, "its id is taken")
            reader.good -= 1
        if self.state is _State.ABORTED or self._is_refused:
            say(f"imported nothing; bad lines: {reader.bad:,}")
            return False
        say(f"imported {reader.good:,}, skipped {reader.bad:,}")
        return True


def import_pets(
    settings: Settings,
    file: str,
    format_: str | None,
    *,
    keep_ids: bool,
    skip: bool,
) -> bool:
    """Import the pets of a file, `-` being standard input, and return whether it was done.

    Bad records are reported, and nothing is imported, unless they are skipped. Nothing is imported
    either if this raises: `TransferError`, `StoreUnavailable`, or `KeyboardInterrupt` for SIGINT.
    """
    struct = KeptPetLine if keep_ids else PetLine
    importing = _Import(_Reader(file, format_ or format_of(file), struct), file, skip)
    try:
        source = (
            open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  # closed below
            if file == STANDARD_STREAM
            else Path(file).open("rb", buffering=0)  # noqa: SIM115  # closed below
        )
    except OSError as error:
        raise TransferError(f"{file}: {error.strerror}") from error
    with source:
        try:
            asyncio.run(importing.run(settings, source.fileno()))
        except KeyboardInterrupt:
            if importing.state is _State.UNDECIDED:
                raise  # Otherwise the signal came too late.
    return importing.report()


def export_pets(
    settings: Settings,
    query: PetQuery,
    format_: str | None,
    output: Path | None,
) -> None:
    """Export the pets that a query chooses into a file, or to standard output.

    The file appears whole or not at all. Raises `TransferError`, `StoreUnavailable`, or
    `KeyboardInterrupt` for SIGINT.
    """
    format_ = format_ or format_of(str(output))
    # asyncio's own handler waits for the next turn of its loop. A reader that does not read may
    # keep that from coming.
    signal.signal(signal.SIGINT, _interrupt)

    async def write(file: io.RawIOBase) -> None:
        done = 0
        with progress("exporting") as show:
            async with open_store(settings) as store, aclosing(store.export(query)) as export:
                total = None
                if shows_progress():
                    total = (await store.page(replace(query, limit=0))).count
                if format_ == CSV:
                    _write(file, CSV_HEADER)
                async for pets in export:
                    _write(file, csv_lines(pets) if format_ == CSV else ndjson_lines(pets))
                    done += len(pets)
                    show(done, total, done)

    try:
        with _opened(output) as file:
            asyncio.run(write(file))
    except BrokenPipeError:  # The reader has all that it wants.
        pass
    except OSError as error:
        raise TransferError(f"{output or 'standard output'}: {error.strerror}") from error


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _opened(output: Path | None) -> Iterator[io.RawIOBase]:
    """Give a file that takes its place when all has been written.

    A device, a pipe or standard output is written to directly.
    """
    if output is None or _is_special(output):
        with open(output or STANDARD_OUTPUT, "wb", buffering=0, closefd=output is not None) as file:
            yield file
        return
    target = output.resolve()  # what a link points to
    part = target.with_name(f".pets-{secrets.token_hex(8)}")
    with part.open("xb", buffering=0) as file:
        try:
            if target.exists():
                shutil.copymode(target, part)
            yield file
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _is_special(output: Path) -> bool:
    """Whether there is something other than a file. Raises `OSError` for a loop of links."""
    try:
        return not stat.S_ISREG(output.stat().st_mode)
    except FileNotFoundError:
        return False


def _write(file: io.RawIOBase, data: bytes) -> None:
    # Without a buffer, which would be written at the end of the process, to a reader that may not
    # read.
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
