"""Pets from a file into a store: `pets import`."""

import asyncio
import gc
import io
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from pets.api.formats import (
    CSV,
    AnyPet,
    BadLine,
    KeptPetLine,
    PetLine,
    Read,
    csv_reader,
    format_of,
    ndjson_reader,
    read_last_id,
)
from pets.bootstrap.stores import open_store
from pets.cli.console import Show, failures_of, progress, say, warnings_said
from pets.cli.records import MAX_RECORD_BYTES, Record, read_records
from pets.settings import Settings

STANDARD_INPUT: Final = 0


class _Outcome(Enum):
    """What became of an import."""

    UNDECIDED = auto()
    IMPORTED = auto()
    REFUSED = auto()
    INTERRUPTED = auto()
    """Nothing was imported, because the import was cancelled."""


class _Refused(Exception):
    """The file has a bad record, so nothing of it is imported."""


class _PetReader:
    """Makes pets of records. Each bad record is reported with the number of its first line."""

    def __init__(self, file: str, struct: type[PetLine], *, is_csv: bool) -> None:
        self._file = file
        self._struct = struct
        self._is_csv = is_csv
        self._read: Read | None = None  # CSV is read by its header, which comes first.
        if not is_csv:
            self._read = ndjson_reader(struct)
        self._blank_lines: list[int] = []
        self.last_id = 0  # how far ids had come in the store of the file, if it says so
        self.good = 0
        self.bad = 0

    def pets(self, records: Sequence[Record]) -> list[tuple[int, AnyPet]]:
        """Return the pets of the good records, each with its number.

        Raises `_Refused` if the header of CSV is bad.
        """
        pets = []
        for record in records:
            text = record.text
            if not text or text.isspace():
                self._blank_lines.append(record.first)
                continue
            if self._blank_lines:  # Blank lines are good at the end of a file alone.
                self._refuse_blank_lines()
            if self._read is None:
                self._read_header(record)
                continue
            try:
                _check_size(text)
                pet = self._read(text)
            except BadLine as error:
                last_id = None if self._is_csv else read_last_id(text)
                if last_id is None:
                    self.refuse(record.first, _reason(error, record))
                else:
                    self.last_id = max(self.last_id, last_id)
            else:
                pets.append((record.first, pet))
        self.good += len(pets)
        return pets

    def end(self) -> None:
        """End the file. Raises `_Refused` if it is CSV without a header."""
        if self._read is None:
            self._read_header(Record(b"", 1, 1))

    def refuse(self, number: int, reason: object) -> None:
        self.bad += 1
        say(f"{self._file}:{number}: {reason}")

    def _refuse_blank_lines(self) -> None:
        for number in self._blank_lines:
            self.refuse(number, "is blank")
        self._blank_lines.clear()

    def _read_header(self, header: Record) -> None:
        try:
            _check_size(header.text)
            self._read = csv_reader(self._struct, header.text)
        except BadLine as error:
            self.refuse(header.first, _reason(error, header))
            raise _Refused from None


def _check_size(text: bytes) -> None:
    if len(text) > MAX_RECORD_BYTES:
        raise BadLine("is over 1 MiB")


def _reason(error: BadLine, record: Record) -> str:
    if record.first == record.last:
        return str(error)
    return f"{error} (the record ends in line {record.last}, because a value in quotes does)"


@dataclass
class _Import:
    """The import of one file."""

    file: str
    is_csv: bool
    reader: _PetReader
    skip: bool
    keep_ids: bool
    outcome: _Outcome = _Outcome.UNDECIDED
    is_read: bool = False  # Before the file is read to its end, nothing is committed.
    taken: Sequence[int] = ()  # the numbers of records whose ids the store already has

    async def run(self, settings: Settings, source: io.FileIO) -> None:
        with progress("importing") as show:
            async with open_store(settings) as store, aclosing(self._pets(source, show)) as pets:
                await store.check()
                try:
                    self.taken = await store.load(pets, skip_taken=self.skip, last_id=self._last_id)
                except _Refused:
                    self.outcome = _Outcome.REFUSED
                    return
                except asyncio.CancelledError:
                    self.outcome = _Outcome.INTERRUPTED
                    raise
                refused = self.taken and not self.skip
                self.outcome = _Outcome.REFUSED if refused else _Outcome.IMPORTED

    def _last_id(self) -> int:
        return self.reader.last_id if self.keep_ids else 0

    async def _pets(
        self, source: io.FileIO, show: Show
    ) -> AsyncGenerator[Sequence[tuple[int, AnyPet]], None]:
        """Give the pets of the file.

        After a bad record, unless bad records are skipped, the file is only read to its end, so
        that every bad record is reported. Raises `_Refused` then.
        """
        is_refused = False
        is_regular = source.seekable()
        size = os.fstat(source.fileno()).st_size if is_regular else None
        records = read_records(source.fileno(), self.file, is_csv=self.is_csv)
        async with aclosing(records) as batches:
            async for batch in batches:
                pets = self.reader.pets(batch)
                is_refused = self.reader.bad > 0 and not self.skip
                if pets and not is_refused:
                    yield pets
                done = source.tell() if is_regular else 0
                show(done, size, self.reader.good)
        self.reader.end()
        if is_refused:
            raise _Refused
        self.is_read = True

    def report(self) -> bool:
        """Say what was imported. Return whether the import was done."""
        for number in self.taken:
            self.reader.refuse(number, "its id is taken")
        if self.outcome is _Outcome.REFUSED:
            say(f"imported nothing; bad lines: {self.reader.bad:,}")
            return False
        good = self.reader.good - len(self.taken)
        say(f"imported {good:,}, skipped {self.reader.bad:,}")
        return True


def import_pets(
    settings: Settings, file: str, format_: str | None, *, keep_ids: bool, skip: bool
) -> bool:
    """Import the pets of a file, or of standard input, which is `-`. Return whether it was done.

    Every bad record is reported. It has nothing imported, unless bad records are skipped.
    Nothing is imported either if this raises `CommandFailed` or `StoreUnavailable`, but for
    `OutcomeUnknown`. `KeyboardInterrupt`, for SIGINT, has what became of the import as its text.
    """
    struct = KeptPetLine if keep_ids else PetLine
    is_csv = (format_ or format_of(file)) == CSV
    importing = _Import(file, is_csv, _PetReader(file, struct, is_csv=is_csv), skip, keep_ids)
    with failures_of(file):
        source = io.FileIO(STANDARD_INPUT if file == "-" else file, closefd=file != "-")
    # The garbage collector need not check the program's own objects again and again.
    gc.freeze()
    with source, warnings_said():
        try:
            asyncio.run(importing.run(settings, source))
        except KeyboardInterrupt:
            if importing.outcome is _Outcome.INTERRUPTED or not importing.is_read:
                raise KeyboardInterrupt("nothing was imported") from None
            if importing.outcome is _Outcome.UNDECIDED:
                raise KeyboardInterrupt("the pets may have been imported") from None
            # Otherwise the signal came too late.
    return importing.report()
