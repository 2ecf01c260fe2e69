"""How pets are written as lines, and pets read from lines: NDJSON and CSV (RFC 4180)."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pets.api.schemas import Pet as PetStruct
from pets.api.schemas import PetCreate, encode_lines
from pets.api.strict_json import Invalid, NotJSON, convert, decode
from pets.domain.pet import MAX_ID, NewPet, Pet

NDJSON: Final = "ndjson"
CSV: Final = "csv"
MAX_KEPT_ID: Final = MAX_ID - 2**32
"""So that a store still has ids to give after an import that keeps its own."""

# A value in quotes, before its closing quote, and a value of either kind.
_QUOTED: Final = '"(?:[^"]|"")*+'
_VALUE: Final = f'(?:{_QUOTED}"|[^",]*+)'
_RECORD: Final = re.compile(f"{_VALUE}(?:,{_VALUE})*+")
_OPEN_RECORD: Final = re.compile(f"(?:{_VALUE},)*{_QUOTED}".encode())
_INTEGER: Final = re.compile(f"0|[1-9][0-9]{{0,{len(str(MAX_ID)) - 1}}}")  # as JSON writes it
_NUMBERS: Final = frozenset({"id", "age"})
_TIME: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$"
_TIME_RULE: Final = "a time in UTC like 2021-05-18T19:10:17"

AnyPet = NewPet | Pet
Read = Callable[[bytes], AnyPet]


class PetLine(PetCreate, frozen=True, kw_only=True):
    """A pet to be imported, under an id that the store gives."""

    # What is missing has a value that, if given, would be refused.
    id: Annotated[int, Meta(ge=1, le=MAX_ID, description=f"an integer from 1 to {MAX_ID}")] = 0
    created_at: Annotated[str, Meta(pattern=_TIME, description=_TIME_RULE)] = ""

    def to_domain(self) -> NewPet:
        if not self.created_at:
            return super().to_domain()
        try:
            created_at = datetime.fromisoformat(self.created_at)
        except ValueError:
            raise BadLine(f"created_at must be {_TIME_RULE}") from None
        return NewPet(name=self.name, age=self.age, type=self.type, created_at=created_at)


class KeptPetLine(PetLine, frozen=True, kw_only=True):
    """A pet to be imported under the id that it has."""

    id: Annotated[
        int, Meta(ge=1, le=MAX_KEPT_ID, description=f"an integer from 1 to {MAX_KEPT_ID}")
    ]


class BadLine(ValueError):
    """The message says why no pet can be made of a line."""

    @classmethod
    def of(cls, error: Invalid) -> "BadLine":
        # A pointer is percent-encoded, so whatever a member is called this is one line.
        return cls(
            "; ".join(f"{fault.pointer[2:]} {fault.detail}".strip() for fault in error.faults)
        )


def format_of(file: str) -> str:
    """Return the format that a file is in by its name."""
    return CSV if file.lower().endswith(".csv") else NDJSON


CSV_HEADER: Final = f"{','.join(PetStruct.__struct_fields__)}\n".encode()


def ndjson_lines(pets: Sequence[Pet]) -> bytes:
    return encode_lines(map(PetStruct.from_domain, pets))


def csv_lines(pets: Sequence[Pet]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        (pet.id, pet.name, pet.age, pet.type, pet.created_at.isoformat()) for pet in pets
    )
    return text.getvalue().encode()


def ndjson_reader(struct: type[PetLine]) -> Read:
    """Return what makes a pet of a line, or raises `BadLine`."""

    def read(line: bytes) -> AnyPet:
        try:
            return _pet(decode(line, struct))
        except NotJSON as error:
            raise BadLine(str(error)) from None
        except Invalid as error:
            raise BadLine.of(error) from None

    return read


def csv_record_goes_on(line: bytes, *, within_quotes: bool) -> bool:
    """Whether a record of CSV goes on in the next line, because this one ends within quotes.

    `within_quotes` is what this returned for the line before.
    """
    return _OPEN_RECORD.fullmatch(b'"' + line if within_quotes else line) is not None


def csv_reader(struct: type[PetLine], header: bytes) -> Read:
    """Return what makes a pet of a line below this header, or raises `BadLine`, also for the header."""
    columns = _cells(header)
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    missing = {name for name, field in fields.items() if field.required}.difference(columns)
    if missing or len({*columns}) < len(columns) or not fields.keys() >= {*columns}:
        required = " ".join(name for name, field in fields.items() if field.required)
        raise BadLine(
            f"the header must name, once each, {required}, and may name no other than {' '.join(fields)}"
        )

    numbers = _NUMBERS.intersection(columns)

    def read(line: bytes) -> AnyPet:
        cells = _cells(line)
        if len(cells) != len(columns):
            raise BadLine(f"has {len(cells)} values, not {len(columns)}")
        given: dict[str, str | int] = dict(zip(columns, cells, strict=True))
        if "" in cells:
            given = {name: cell for name, cell in given.items() if cell}
        for name in numbers:
            cell = cells[columns.index(name)]
            if _INTEGER.fullmatch(cell):
                given[name] = int(cell)  # Any other text is refused by the rules.
        try:
            return _pet(convert(given, struct))
        except Invalid as error:
            raise BadLine.of(error) from None

    return read


def _cells(line: bytes) -> list[str]:
    try:
        text = line.decode()
        if '"' not in text:  # as in most lines, and splitting is quicker
            return text.rstrip("\r\n").split(",")
        cells = next(csv.reader([text], strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadLine(f"cannot be read as CSV: {error}") from None
    if not _RECORD.fullmatch(
        text.rstrip("\r\n")
    ):  # Python's reader lets quotes pass where RFC 4180 does not
        raise BadLine("cannot be read as CSV: a quote within a value that is not in quotes")
    return cells


def _pet(line: PetLine) -> AnyPet:
    new = line.to_domain()
    return new.with_id(line.id) if isinstance(line, KeptPetLine) else new
