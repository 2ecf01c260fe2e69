"""Pets as lines of NDJSON and of CSV (RFC 4180) or TSV: written, and read strictly."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import asdict

from pets.api import schemas
from pets.api.schemas import TIME_PATTERN, PetCreate, encode_lines
from pets.api.strict_json import Invalid, NotJSON, convert, decode
from pets.domain.errors import InvalidPet
from pets.domain.pet import MAX_ID, NewPet, Pet

NDJSON_TYPE: Final = "application/x-ndjson"
CSV_TYPE: Final = "text/csv"

MAX_KEPT_ID: Final = MAX_ID - 2**32
"""The highest id of an import that keeps its ids, so that the store has ids left for new pets."""

_QUOTED: Final = '"(?:[^"]|"")*+'
"""A value in quotes, before its closing quote."""

_INTEGER: Final = re.compile(f"0|[1-9][0-9]{{0,{len(str(MAX_ID)) - 1}}}")  # as JSON writes it
_INTEGERS: Final = {name for name, kind in get_type_hints(Pet).items() if kind is int}
_TIME_RULE: Final = "a time in UTC like 2021-05-18T19:10:17"

AnyPet = NewPet | Pet
Read = Callable[[bytes], AnyPet]


class PetLine(PetCreate, frozen=True, kw_only=True):
    """A pet to be imported, with an id that the store assigns."""

    # The defaults mean "missing". A client cannot send them, because they are invalid.
    id: Annotated[int, Meta(ge=1, le=MAX_ID, description=f"an integer from 1 to {MAX_ID}")] = 0
    created_at: Annotated[str, Meta(pattern=TIME_PATTERN, description=_TIME_RULE)] = ""

    def to_domain(self) -> NewPet:
        members = asdict(self)
        del members["id"]
        if not self.created_at:
            del members["created_at"]
        else:
            try:
                members["created_at"] = datetime.fromisoformat(self.created_at)
            except ValueError:
                raise BadLine(f"created_at must be {_TIME_RULE}") from None
        try:
            return NewPet(**members)
        except InvalidPet as error:
            raise BadLine(str(error)) from None

    def to_pet(self) -> AnyPet:
        return self.to_domain()


class KeptPetLine(PetLine, frozen=True, kw_only=True):
    """A pet to be imported with its own id."""

    id: Annotated[
        int, Meta(ge=1, le=MAX_KEPT_ID, description=f"an integer from 1 to {MAX_KEPT_ID}")
    ]

    def to_pet(self) -> AnyPet:
        return self.to_domain().with_id(self.id)


class LastId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line of an export with the highest id that was assigned, if its pet was removed.

    A store that imports the file does not assign the ids up to this one again.
    """

    last_id: Annotated[int, Meta(ge=1, le=MAX_ID)]


class BadLine(ValueError):
    """The message says why a line is not a pet."""

    @classmethod
    def of(cls, error: Invalid) -> "BadLine":
        # The reason is one line, because a pointer is percent-encoded.
        reasons = [f"{(fault.pointer or '')[2:]} {fault.detail}" for fault in error.faults]
        return cls("; ".join(reason.strip() for reason in reasons))


def ndjson_lines(pets: Sequence[Pet]) -> bytes:
    return encode_lines(map(schemas.Pet.from_domain, pets))


def ndjson_reader(struct: type[PetLine]) -> Read:
    """Return a function that makes a pet of a line, or raises `BadLine`."""

    def read(line: bytes) -> AnyPet:
        try:
            return decode(line, struct).to_pet()
        except NotJSON as error:
            raise BadLine(str(error)) from None
        except Invalid as error:
            raise BadLine.of(error) from None

    return read


def last_id_line(last_id: int) -> bytes:
    """Return the line of NDJSON with the highest id that was assigned."""
    return encode_lines([LastId(last_id)])


def read_last_id(line: bytes) -> int | None:
    """Return the id of a line that `last_id_line` has written, or None for any other line."""
    try:
        return decode(line, LastId).last_id
    except (NotJSON, Invalid):
        return None


class Delimited:
    """Pets as records of values with a separator between them, below a header: CSV or TSV.

    A value in quotes may contain the separator, and line breaks.
    """

    def __init__(self, name: str, separator: str) -> None:
        self._name = name
        self._separator = separator
        value = f'(?:{_QUOTED}"|[^"{separator}]*+)'
        self._record = re.compile(f"{value}(?:{separator}{value})*+")
        self._next_value = re.compile(f"{separator}({value})")
        self._open_record = re.compile(f"(?:{value}{separator})*{_QUOTED}".encode())
        self.header: Final = f"{separator.join(schemas.Pet.__struct_fields__)}\n".encode()

    def lines(self, pets: Sequence[Pet]) -> bytes:
        if not pets:
            return b""
        columns: dict[str, Iterable[object]] = dict(
            zip(Pet._fields, zip(*pets, strict=True), strict=True)
        )
        columns["created_at"] = [pet.created_at.isoformat() for pet in pets]
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._separator, lineterminator="\n")
        writer.writerows(zip(*columns.values(), strict=True))
        return text.getvalue().encode()

    def record_goes_on(self, line: bytes, *, within_quotes: bool) -> bool:
        """Return whether a record goes on in the next line, because this line ends within quotes.

        `within_quotes` is the result for the line before.
        """
        text = b'"' + line if within_quotes else line
        return self._open_record.fullmatch(text) is not None

    def reader(self, struct: type[PetLine], header: bytes) -> Read:
        """Return a function that makes a pet of a line below this header, or raises `BadLine`.

        Raises `BadLine` for the header too.
        """
        columns = self._cells(header)
        fields = msgspec.structs.fields(struct)
        known = [field.name for field in fields]
        required = [field.name for field in fields if field.required]
        if len(set(columns)) < len(columns) or not set(required) <= set(columns) <= set(known):
            raise BadLine(
                f"the header must name each of {' '.join(required)} once, "
                f"and may name no other than {' '.join(known)}"
            )

        def read(line: bytes) -> AnyPet:
            cells = self._cells(line)
            if len(cells) != len(columns):
                raise BadLine(f"has {len(cells)} values, not {len(columns)}")
            document: dict[str, str | int] = {}
            for column, cell in zip(columns, cells, strict=True):
                if column in _INTEGERS and _INTEGER.fullmatch(cell):
                    document[column] = int(cell)
                elif cell:
                    document[column] = cell
            try:
                return convert(document, struct).to_pet()
            except Invalid as error:
                raise BadLine.of(error) from None

        return read

    def _cells(self, line: bytes) -> list[str]:
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise BadLine(f"cannot be read as {self._name}: it is not UTF-8") from None
        if '"' not in text:  # To split is faster, and most lines have no quotes.
            return text.split(self._separator)
        if not self._record.fullmatch(text):
            raise BadLine(
                f"cannot be read as {self._name}: a quote is missing, or is where none is allowed"
            )
        cells = self._next_value.findall(f"{self._separator}{text}")
        return [cell[1:-1].replace('""', '"') if cell.startswith('"') else cell for cell in cells]


CSV: Final = Delimited("CSV", ",")
TSV: Final = Delimited("TSV", "\t")
FORMATS: Final[Mapping[str, Delimited | None]] = {"csv": CSV, "tsv": TSV, "ndjson": None}
"""The formats by their names. NDJSON is the one that is not delimited."""
