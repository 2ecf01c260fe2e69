"""Pets as lines of NDJSON and of CSV (RFC 4180) or TSV: written, and read strictly."""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Final, get_type_hints

import msgspec

from pets.api import schemas
from pets.api.pet_lines import BadLine, LastId
from pets.api.schemas import encode_lines
from pets.api.strict_json import AnyStruct, Invalid, NotJSON, convert, decode
from pets.domain.pet import MAX_ID, Pet

NDJSON_TYPE: Final = "application/x-ndjson"
CSV_TYPE: Final = "text/csv"

_PET: Final = '"name":"boy","age":7,"type":"dog"'
_TIME: Final = "2021-05-18T19:10:17"
_TEXT: Final[dict[str, object]] = {"schema": {"type": "string"}}
PETS_DESCRIBED: Final = {
    NDJSON_TYPE: _TEXT | {"example": f'{{"id":1,{_PET},"created_at":"{_TIME}"}}\n'},
    CSV_TYPE: _TEXT | {"example": f"id,name,age,type,created_at\n1,boy,7,dog,{_TIME}\n"},
}
NEW_PETS_DESCRIBED: Final = {
    NDJSON_TYPE: _TEXT | {"example": f"{{{_PET}}}\n"},
    CSV_TYPE: _TEXT | {"example": "name,age,type\nboy,7,dog\n"},
}
"""Pets by their media type, as OpenAPI has them. JSON Schema says only that they are texts."""

_QUOTED: Final = '"(?:[^"]|"")*+'
"""A value in quotes, before its closing quote."""

_FORMULA: Final = re.compile(r"[=+\-@\t\r]")
"""How a text begins that a spreadsheet takes for a formula (CWE-1236, and OWASP's advice)."""

_MAX_SHOWN: Final = 80
"""How many characters of a bad header are shown."""

_INTEGER: Final = re.compile(f"0|[1-9][0-9]{{0,{len(str(MAX_ID)) - 1}}}")  # as JSON writes it
_INTEGERS: Final = {name for name, kind in get_type_hints(Pet).items() if kind is int}


def ndjson_lines(pets: Sequence[Pet]) -> bytes:
    return encode_lines(map(schemas.Pet.from_domain, pets))


def ndjson_reader(struct: type[AnyStruct]) -> Callable[[bytes], AnyStruct]:
    """Return a function that makes a struct of a line, or raises `BadLine`."""

    def read(line: bytes) -> AnyStruct:
        try:
            return decode(line, struct)
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

    A value in quotes may contain the separator, and line breaks. The first of the `separators` is
    written, and each of them can be read. A file `for_spreadsheets` begins with a byte order mark,
    and has an apostrophe before each text that would be a formula.
    """

    def __init__(self, name: str, separators: str, *, for_spreadsheets: bool = False) -> None:
        separator = separators[0]
        self._name = name
        self._separators = separators
        self._separator = separator
        self._for_spreadsheets = for_spreadsheets
        value = f'(?:{_QUOTED}"|[^"{separator}]*+)'
        self._record = re.compile(f"{value}(?:{separator}{value})*+")
        self._next_value = re.compile(f"{separator}({value})")
        self._open_record = re.compile(f"(?:{value}{separator})*{_QUOTED}".encode())
        names = f"{separator.join(schemas.Pet.__struct_fields__)}\n".encode()
        self.header: Final = BOM_UTF8 + names if for_spreadsheets else names

    def lines(self, pets: Sequence[Pet]) -> bytes:
        if not pets:
            return b""
        columns: dict[str, Iterable[object]] = dict(
            zip(Pet._fields, zip(*pets, strict=True), strict=True)
        )
        columns["created_at"] = [pet.created_at.isoformat() for pet in pets]
        if self._for_spreadsheets:
            columns = {name: map(_defused, values) for name, values in columns.items()}
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._separator, lineterminator="\n")
        writer.writerows(zip(*columns.values(), strict=True))
        return text.getvalue().encode()

    def like(self, header: bytes) -> "Delimited":
        """Return the format that has the separator that is most frequent in this header."""
        found = max(self._separators, key=lambda separator: header.count(separator.encode()))
        return self if found == self._separator else _with_separator(self._name, found)

    def is_empty(self, line: bytes) -> bool:
        """Return whether a line has separators, and nothing else. Spreadsheets write such rows."""
        separator = self._separator.encode()
        return separator in line and not line.strip(separator + b" \r")

    def record_goes_on(self, line: bytes, *, within_quotes: bool) -> bool:
        """Return whether a record goes on in the next line, because this line ends within quotes.

        `within_quotes` is the result for the line before.
        """
        text = b'"' + line if within_quotes else line
        return self._open_record.fullmatch(text) is not None

    def reader(self, struct: type[AnyStruct], header: bytes) -> Callable[[bytes], AnyStruct]:
        """Return a function that makes a struct of a line below this header, or raises `BadLine`.

        Raises `BadLine` for the header too. Its names may be in any case, and have white space
        around them.
        """
        columns = [name.strip().lower() for name in self._cells(header)]
        fields = msgspec.structs.fields(struct)
        known = [field.name for field in fields]
        required = [field.name for field in fields if field.required]
        if len(set(columns)) < len(columns) or not set(required) <= set(columns) <= set(known):
            raise BadLine(
                f"the header must name each of {' '.join(required)} once, "
                f"and may name no other than {' '.join(known)}; it is {_shown(header)}"
            )

        def read(line: bytes) -> AnyStruct:
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
                return convert(document, struct)
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


def _shown(line: bytes) -> str:
    text = line.decode().rstrip("\r\n")
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def _defused(value: object) -> object:
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return value


@cache
def _with_separator(name: str, separator: str) -> Delimited:
    return Delimited(name, separator)


CSV: Final = Delimited("CSV", ",;\t")
CSV_FOR_SPREADSHEETS: Final = Delimited("CSV", ",", for_spreadsheets=True)
TSV: Final = Delimited("TSV", "\t")
FORMATS: Final[Mapping[str, Delimited | None]] = {"csv": CSV, "tsv": TSV, "ndjson": None}
"""The formats by their names. NDJSON is the one that is not delimited."""
