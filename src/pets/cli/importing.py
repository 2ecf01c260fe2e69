"""Pets from a file into a store: `pets import`."""

import io
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from pets.api.formats import FORMATS, Delimited, ndjson_reader, read_last_id
from pets.api.pet_lines import AnyPet, BadLine, KeptPetLine, PetLine
from pets.api.records import MAX_RECORD_BYTES, Record, Records
from pets.cli.console import Show, failures_of, progress, say
from pets.cli.loading import Refused, load_pets
from pets.cli.records import read_records
from pets.domain.repository import Numbered
from pets.settings import Settings

STANDARD_INPUT: Final = 0


class _PetReader:
    """Makes pets of records. Each bad record is reported with the number of its first line."""

    def __init__(self, file: str, struct: type[PetLine], delimited: Delimited | None) -> None:
        self.file = file
        self._struct = struct
        self.records = Records(delimited)
        # CSV and TSV are read by their header, which comes first.
        self._read: Callable[[bytes], PetLine] | None = None
        if delimited is None:
            self._read = ndjson_reader(struct)
        self._blank_lines: list[int] = []
        self.last_id = 0  # how far ids had come in the store of the file, if it says so
        self.good = 0
        self.bad = 0

    def pets(self, records: Sequence[Record]) -> list[tuple[int, AnyPet]]:
        """Return the pets of the good records, each with its number.

        Raises `Refused` if a header is bad.
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
                pet = self._read(text).to_pet()
            except BadLine as error:
                last_id = None if self.records.delimited else read_last_id(text)
                if last_id is None:
                    self.refuse(record.first, _reason(error, record))
                else:
                    self.last_id = max(self.last_id, last_id)
            else:
                pets.append((record.first, pet))
        self.good += len(pets)
        return pets

    def end(self) -> None:
        """End the file. Raises `Refused` if it is CSV or TSV without a header."""
        if self._read is None:
            self._read_header(Record(b"", 1, 1))

    def refuse(self, number: int, reason: object) -> None:
        self.bad += 1
        say(f"{self.file}:{number}: {reason}")

    def _refuse_blank_lines(self) -> None:
        for number in self._blank_lines:
            self.refuse(number, "is blank")
        self._blank_lines.clear()

    def _read_header(self, header: Record) -> None:
        delimited = self.records.delimited
        assert delimited
        try:
            _check_size(header.text)
            self._read = delimited.reader(self._struct, header.text)
        except BadLine as error:
            self.refuse(header.first, _reason(error, header))
            raise Refused from None


def _check_size(text: bytes) -> None:
    if len(text) > MAX_RECORD_BYTES:
        raise BadLine("is over 1 MiB")


def _reason(error: BadLine, record: Record) -> str:
    if record.first == record.last:
        return str(error)
    return f"{error} (the record ends in line {record.last}, because a value in quotes does)"


async def _pets(
    reader: _PetReader, source: io.FileIO, show: Show, *, skip: bool
) -> AsyncGenerator[Numbered, None]:
    """Give the pets of a file.

    After a bad record, unless bad records are skipped, the file is only read to its end, so that
    every bad record is reported. Raises `Refused` then.
    """
    is_refused = False
    is_regular = source.seekable()
    size = os.fstat(source.fileno()).st_size if is_regular else None
    async with aclosing(read_records(source.fileno(), reader.file, reader.records)) as batches:
        async for batch in batches:
            pets = reader.pets(batch)
            is_refused = reader.bad > 0 and not skip
            if pets and not is_refused:
                yield pets
            done = source.tell() if is_regular else 0
            show(done, size, reader.good)
    reader.end()
    if is_refused:
        raise Refused


def import_pets(settings: Settings, file: str, format_: str, *, keep_ids: bool, skip: bool) -> bool:
    """Import the pets of a file, or of standard input, which is `-`. Return whether it was done.

    Every bad record is reported. It has nothing imported, unless bad records are skipped.
    Raises as `load_pets` does.
    """
    reader = _PetReader(file, KeptPetLine if keep_ids else PetLine, FORMATS[format_])
    with failures_of(file):
        source = io.FileIO(STANDARD_INPUT if file == "-" else file, closefd=file != "-")
    with source, progress("importing") as show:
        loaded = load_pets(
            settings,
            _pets(reader, source, show, skip=skip),
            done="imported",
            skip_taken=skip,
            last_id=lambda: reader.last_id if keep_ids else 0,
        )
    for number in loaded.taken:
        reader.refuse(number, "its id is taken")
    if loaded.is_done:
        say(f"imported {reader.good - len(loaded.taken):,}, skipped {reader.bad:,}")
    else:
        say(f"imported nothing; bad lines: {reader.bad:,}")
    return loaded.is_done
