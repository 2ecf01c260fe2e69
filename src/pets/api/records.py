"""The lines of a text as records, each the text of one pet."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import chain
from typing import Final, NamedTuple

from pets.api.formats import Delimited, ndjson_reader
from pets.api.pet_lines import BadLine
from pets.api.problem_document import MAX_FAULTS, Fault
from pets.api.schemas import MAX_LINES, MAX_NEW_PETS, PetCreate

MAX_RECORD_BYTES: Final = 1024 * 1024
MAX_LINE_BYTES: Final = 16 * 1024
"""The longest line of a request."""

_TOO_LONG: Final = f"is over {MAX_LINE_BYTES // 1024} KiB"

_SEPARATOR_LINE: Final = re.compile(rb'"?sep=([,;\t])"?\r?', re.IGNORECASE)
"""What Excel writes and reads above a header."""


class Record(NamedTuple):
    """The text of one pet, and the numbers of its first and last line.

    A record over 1 MiB is cut off somewhere above that.
    """

    text: bytes
    first: int
    last: int


class Records:
    """Makes records of lines, which can be given in several parts.

    In CSV and TSV a line break within quotes belongs to its value, so a record may have several
    lines. Rows of nothing but separators are left out. `delimited` is None for NDJSON. When the
    header is read, it is the one that has the separator of the header.
    """

    def __init__(self, delimited: Delimited | None) -> None:
        self.delimited = delimited
        self._number = self._first = 0
        self._knows_separator = False
        # the text of a record that goes on in the next line
        self._unfinished: bytearray | None = None

    def of(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """Give the records that end in these lines."""
        for line in lines:
            self._number += 1
            text = line.removeprefix(BOM_UTF8) if self._number == 1 else line
            delimited = self.delimited
            if delimited is None:
                yield Record(text, self._number, self._number)
            elif self._unfinished is not None:
                if len(self._unfinished) <= MAX_RECORD_BYTES:
                    self._unfinished += b"\n" + text
                if not delimited.record_goes_on(text, within_quotes=True):
                    yield from self.rest()
            elif self._is_record(text, delimited):
                yield Record(text, self._number, self._number)

    def rest(self) -> Iterator[Record]:
        """Give the record that has not ended, because its last quote is never closed."""
        if self._unfinished is not None:
            yield Record(bytes(self._unfinished), self._first, self._number)
            self._unfinished = None

    def _is_record(self, text: bytes, delimited: Delimited) -> bool:
        """Return whether a line is a record, and the whole of it."""
        if not self._knows_separator:
            line = _SEPARATOR_LINE.fullmatch(text) if self._number == 1 else None
            delimited = delimited.like(line[1] if line else text)
            self.delimited = delimited
            self._knows_separator = bool(text)
            if line:
                return False
        if b'"' in text and delimited.record_goes_on(text, within_quotes=False):
            self._first = self._number
            self._unfinished = bytearray(text)
            return False
        return not delimited.is_empty(text)


class _PetReader:
    """Makes new pets of records, and collects the faults of the bad ones."""

    def __init__(self, records: Records) -> None:
        self._records = records
        # CSV is read by its header, which comes first.
        self._read: Callable[[bytes], PetCreate] | None = None
        if records.delimited is None:
            self._read = ndjson_reader(PetCreate)
        self._index = 0
        self._blank_line = 0
        self.pets: list[PetCreate] = []
        self.faults: list[Fault] = []

    def read(self, record: Record) -> bool:
        """Read a record, and return whether it makes sense to read more."""
        if not record.text or record.text.isspace():
            self._blank_line = self._blank_line or record.first
            return True
        if self._blank_line:  # Blank lines are good at the end alone.
            self.faults.append(Fault(pointer="#", line=self._blank_line, detail="is blank"))
            self._blank_line = 0
        if len(record.text) > MAX_LINE_BYTES:  # It has several lines.
            self.faults.append(Fault(pointer="#", line=record.first, detail=_TOO_LONG))
            return False
        try:
            if self._read is None:
                assert self._records.delimited
                self._read = self._records.delimited.reader(PetCreate, record.text)
                return True
            self._index += 1
            self.pets.append(self._read(record.text))
        except BadLine as error:
            place = f"#/{self._index - 1}" if self._read else "#"
            for fault in error.faults or [Fault(pointer="#", detail=str(error))]:
                pointer = f"{place}{(fault.pointer or '#')[1:]}"
                self.faults.append(Fault(pointer=pointer, line=record.first, detail=fault.detail))
        return self._read is not None and self._index <= MAX_NEW_PETS


def pets_of_lines(body: bytes, delimited: Delimited | None) -> tuple[list[PetCreate], list[Fault]]:
    """Return the new pets of NDJSON or CSV, and the faults of what is neither."""
    if body.count(b"\n") > MAX_LINES:
        return [], [Fault(pointer="#", detail=f"must have at most {MAX_LINES:,} lines")]
    # To look for quotes in a longer line takes long. A pet needs at most 1,300 bytes.
    for number, line in enumerate(BytesIO(body), 1):
        if len(line) > MAX_LINE_BYTES:
            return [], [Fault(pointer="#", line=number, detail=_TOO_LONG)]
    records = Records(delimited)
    reader = _PetReader(records)
    lines = (line.removesuffix(b"\n") for line in BytesIO(body))
    for record in chain(records.of(lines), records.rest()):
        if not reader.read(record) or len(reader.faults) >= MAX_FAULTS:
            break
    if not reader.faults and not 1 <= len(reader.pets) <= MAX_NEW_PETS:
        return [], [Fault(pointer="#", detail=f"must have 1 to {MAX_NEW_PETS:,} pets")]
    return reader.pets, reader.faults[:MAX_FAULTS]
