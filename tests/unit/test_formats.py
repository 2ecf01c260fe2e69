"""Writing and reading pets as lines of NDJSON and CSV."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from pets.api.formats import (
    CSV,
    CSV_FOR_SPREADSHEETS,
    TSV,
    ndjson_lines,
    ndjson_reader,
)
from pets.api.pet_lines import MAX_KEPT_ID, AnyPet, BadLine, KeptPetLine, PetLine
from pets.domain.pet import MAX_ID, NewPet, PetType
from tests.factories import NewPetFactory


def to_pets(read: Callable[[bytes], PetLine]) -> Callable[[bytes], AnyPet]:
    """Return a function that reads a line as `pets import` does."""
    return lambda line: read(line).to_pet()


AT = datetime.fromisoformat("2021-05-18T19:10:17")
BOY = NewPet(name="boy", age=7, type=PetType.DOG, created_at=AT)
NAME = (
    "name must be 1 to 100 characters, not counting white space at both ends, "
    "none of them a control character"
)
AGE = "age must be an integer from 0 to 100, in whole years"
TYPE = 'type must be "dog" or "cat"'
QUOTES = "cannot be read as CSV: a quote is missing, or is where none is allowed"
ID = f"id must be an integer from 1 to {MAX_ID}"
RANGE = "created_at must be from 0001-01-02T00:00:00 to 9999-12-31T23:59:59"
TIME = "created_at must be a time in UTC like 2021-05-18T19:10:17"


def test_a_pet_is_written_as_the_api_writes_it() -> None:
    assert ndjson_lines([BOY.with_id(1)]) == (
        b'{"id":1,"name":"boy","age":7,"type":"dog","created_at":"2021-05-18T19:10:17"}\n'
    )


def test_a_value_of_csv_is_quoted_where_necessary() -> None:
    pet = NewPet(name='a, "b"', age=7, type=PetType.DOG, created_at=AT).with_id(1)
    assert CSV.header == b"id,name,age,type,created_at\n"
    assert CSV.lines([pet]) == b'1,"a, ""b""",7,dog,2021-05-18T19:10:17\n'


def test_tsv_is_csv_with_tabs() -> None:
    pet = NewPet(name='a, "b"', age=7, type=PetType.DOG, created_at=AT).with_id(1)
    assert TSV.header == b"id\tname\tage\ttype\tcreated_at\n"
    assert TSV.lines([pet]) == b'1\t"a, ""b"""\t7\tdog\t2021-05-18T19:10:17\n'
    read = to_pets(TSV.reader(PetLine, b"name\tage\ttype"))
    assert read(b"a, b\t7\tdog").name == "a, b"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"x,7,dog", "has 1 values, not 3"),
        (b'"x\ty"\t7\tdog', NAME),
        (b'x"y\t7\tdog', QUOTES.replace("CSV", "TSV")),
        (b"\xff", "cannot be read as TSV: it is not UTF-8"),
    ],
)
def test_a_bad_line_of_tsv_is_explained(line: bytes, reason: str) -> None:
    with pytest.raises(BadLine) as caught:
        to_pets(TSV.reader(PetLine, b"name\tage\ttype"))(line)
    assert str(caught.value) == reason


def test_a_tsv_record_continues_while_its_quotes_are_open() -> None:
    assert TSV.record_goes_on(b'1\t"x\ty', within_quotes=False)
    assert not TSV.record_goes_on(b'1,"x', within_quotes=False)


def test_written_pets_are_read_back_unchanged() -> None:
    names = ['a, "b"', 'Z"}', "a\u2028b", '"', ",", ";", "\\", "=1+1", "\ufeffx"]
    pets = [new.with_id(id_) for id_, new in enumerate(NewPetFactory.batch(100), 1)]
    pets += [
        NewPet(name=name, age=0, type=PetType.CAT, created_at=AT).with_id(MAX_KEPT_ID)
        for name in names
    ]
    read = to_pets(ndjson_reader(KeptPetLine))
    assert [read(line) for line in ndjson_lines(pets).split(b"\n")[:-1]] == pets
    for delimited in (CSV, TSV):
        read = to_pets(delimited.reader(KeptPetLine, delimited.header))
        assert [read(line) for line in delimited.lines(pets).split(b"\n")[:-1]] == pets


def test_an_id_that_is_not_kept_is_ignored() -> None:
    assert to_pets(ndjson_reader(PetLine))(ndjson_lines([BOY.with_id(1)])) == BOY
    assert to_pets(CSV.reader(PetLine, CSV.header))(CSV.lines([BOY.with_id(1)])) == BOY


def test_columns_of_csv_may_come_in_any_order() -> None:
    read = to_pets(CSV.reader(PetLine, b"created_at,id,type,age,name"))
    assert read(b"2021-05-18T19:10:17,7,dog,7,boy") == BOY


def test_an_optional_value_of_csv_may_be_empty() -> None:
    read = to_pets(CSV.reader(PetLine, CSV.header))
    assert read(b",boy,7,dog,2021-05-18T19:10:17") == BOY


def test_a_header_of_csv_may_end_with_a_carriage_return() -> None:
    assert to_pets(CSV.reader(PetLine, b"type,age,name\r"))(b"dog,7,boy\r").name == "boy"


def test_a_pet_without_a_time_is_created_now() -> None:
    before = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    pet = to_pets(ndjson_reader(PetLine))(b'{"name":"boy","age":7,"type":"dog"}')
    assert before <= pet.created_at <= datetime.now(UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[]", "must be an object"),
        (b"{}", "name is required; age is required; type is required"),
        (b'{"name":"","age":"7","type":"bird"}', f"{NAME}; {AGE}; {TYPE}"),
        (b'{"name":"x\\u0000","age":7,"type":"dog"}', NAME),
        (
            b'{"name":"x","age":7,"type":"dog","a\\nb":1}',
            "a%0Ab is not a member that is known here",
        ),
        (b'{"name":"x","age":7,"type":"dog","id":0}', ID),
        (b'{"name":"x","age":7,"type":"dog","id":9223372036854775808}', ID),
        (b'{"name":"x","age":7,"type":"dog","id":"1"}', ID),
        (b'{"name":"x","age":7,"type":"dog","created_at":"2021-05-18T19:10:17Z"}', TIME),
        (b'{"name":"x","age":7,"type":"dog","created_at":"0001-01-01T00:00:00"}', RANGE),
        (b'{"name":"x","age":7,"type":"dog","created_at":"2021-05-18 19:10:17"}', TIME),
        (b'{"name":"x","age":7,"type":"dog","created_at":"2021-02-30T19:10:17"}', TIME),
        (b'{"name":"x","age":7,"type":"dog","created_at":null}', TIME),
        (b'{"name":"x","age":7,"type":"dog"', "cannot be read as JSON: Input data was truncated"),
        (b"[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_bad_line_of_ndjson_is_explained(line: bytes, reason: str) -> None:
    with pytest.raises(BadLine) as caught:
        to_pets(ndjson_reader(PetLine))(line)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    "line",
    [b"\xff", b'{"name":"\xff"}', b'{"name":"\\ud800"}', b'{"name":"\xed\xa0\x80"}', b"\x00"],
)
def test_bytes_that_are_not_utf_8_are_not_json(line: bytes) -> None:
    with pytest.raises(BadLine, match=r"^cannot be read as JSON: "):
        to_pets(ndjson_reader(PetLine))(line)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,x,7,dog", "has 4 values, not 5"),
        (b"1,x,7,dog,2021-05-18T19:10:17,", "has 6 values, not 5"),
        (b"1,,,,", "name is required; age is required; type is required"),
        (b"-1, ,7.0,Dog,yesterday", f"{NAME}; {AGE}; {TYPE}; {ID}; {TIME}"),
        ("\u0661,x,\u0667,dog,".encode(), f"{AGE}; {ID}"),
        (b"1,x,+7,dog,", AGE),
        (b"1,x, 7,dog,", AGE),
        (b"1,x,07,dog,", AGE),
        (b"1,x,00,dog,", AGE),
        (b"01,x,7,dog,", ID),
        (b'1,"x\ny",7,dog,', NAME),
        (b"1,x,101,dog,", AGE),
        (b"1,x," + b"9" * 5000 + b",dog,", AGE),
        (b"9223372036854775808,x,7,dog,", ID),
        (b"1,x\x00y,7,dog,", NAME),
        (b'1,"x', QUOTES),
        (b'1,x"y,7,dog,', QUOTES),
        (b'1,"x"y,7,dog,', QUOTES),
    ],
)
def test_a_bad_line_of_csv_is_explained(line: bytes, reason: str) -> None:
    with pytest.raises(BadLine) as caught:
        to_pets(CSV.reader(PetLine, CSV.header))(line)
    assert sorted(str(caught.value).split("; ")) == sorted(reason.split("; "))


@pytest.mark.parametrize(
    ("line", "within_quotes", "goes_on"),
    [
        (b"1,x", False, False),
        (b'1,"x', False, True),
        (b'1,"x"', False, False),
        (b'1,"x"\r', False, False),
        (b'1,"x""', False, True),
        (b'1,"x"""', False, False),
        (b'1,"x","y', False, True),
        (b"x,7", True, True),
        (b"", True, True),
        (b'x""y', True, True),
        (b'x",7', True, False),
        (b'x",7,"y', True, True),
        # These lines are not CSV. Each is rejected alone, so that it affects no other line.
        (b'1,x"y', False, False),
        (b'1,"x"y,"z', False, False),
        (b'x"y,"z', True, False),
    ],
)
def test_a_csv_record_continues_while_its_quotes_are_open(
    line: bytes,
    within_quotes: bool,  # noqa: FBT001  # pytest passes it by name
    goes_on: bool,  # noqa: FBT001  # pytest passes it by name
) -> None:
    assert CSV.record_goes_on(line, within_quotes=within_quotes) is goes_on


@pytest.mark.parametrize(
    "line", [b'"' * 2**20, b'"a",' * 2**18, b"," * 2**20 + b'"', b'","' * 2**18 + b'x"']
)
def test_reading_quotes_takes_linear_time(line: bytes) -> None:
    began = time.process_time()
    CSV.record_goes_on(line, within_quotes=False)
    assert time.process_time() - began < 2


def test_bytes_that_are_not_utf_8_are_not_csv() -> None:
    with pytest.raises(BadLine, match=r"^cannot be read as CSV: it is not UTF-8$"):
        to_pets(CSV.reader(PetLine, CSV.header))(b"1,\xff,7,dog,")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_end_of_a_line_is_no_part_of_its_last_value(end: bytes) -> None:
    read = to_pets(CSV.reader(PetLine, b"type,age,name" + end))
    assert read(b"dog,7,MAX" + end).name == "MAX"
    read = to_pets(CSV.reader(PetLine, b"name,age,type" + end))
    with pytest.raises(BadLine, match=f"^{TYPE}$"):
        read(b"boy,7,dog " + end)


def test_the_columns_that_a_header_needs_and_may_have_are_named() -> None:
    with pytest.raises(BadLine) as caught:
        to_pets(CSV.reader(PetLine, b"name,age"))
    assert str(caught.value) == (
        "the header must name each of name age type once, "
        "and may name no other than name age type id created_at; it is 'name,age'"
    )


@pytest.mark.parametrize(
    "header",
    [b"", b"boy,7,dog", b"name,age", b"name,age,type,age", b"name,age,type,breed", b"\xff"],
)
def test_a_header_without_the_columns_of_a_pet_is_rejected(header: bytes) -> None:
    with pytest.raises(BadLine, match=r"^the header must name|^cannot be read"):
        to_pets(CSV.reader(PetLine, header))


def test_keeping_ids_requires_ids() -> None:
    with pytest.raises(BadLine, match=r"^id is required$"):
        to_pets(ndjson_reader(KeptPetLine))(b'{"name":"x","age":7,"type":"dog"}')
    with pytest.raises(BadLine, match="the header must name"):
        to_pets(CSV.reader(KeptPetLine, b"name,age,type"))


@pytest.mark.parametrize("struct", [PetLine, KeptPetLine])
def test_a_name_is_imported_in_one_form_of_unicode(struct: type[PetLine]) -> None:
    """So a store of an older version gets this form by an export and an import."""
    ndjson = to_pets(ndjson_reader(struct))(
        '{"id": 1, "name": "Zoe\u0308", "age": 7, "type": "cat"}'.encode()
    )
    csv = to_pets(CSV.reader(struct, b"id,name,age,type"))("1,Zoe\u0308,7,cat".encode())
    assert ndjson.name == csv.name == "Zo\u00eb"


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (b"name;age;type", b"boy;7;dog"),
        (b"name\tage\ttype", b"boy\t7\tdog"),
        (b" NAME ,\tAge,type\r", b"boy,7,dog\r"),
        (b'"Name";"Age";"Type"', b'"boy";7;dog'),
    ],
)
def test_a_spreadsheet_chooses_the_separator_and_the_case(header: bytes, line: bytes) -> None:
    assert to_pets(CSV.like(header).reader(PetLine, header))(line).name == "boy"


def test_a_bad_header_is_shown_in_part_and_without_controls() -> None:
    with pytest.raises(BadLine) as caught:
        to_pets(CSV.reader(PetLine, b"\x1b[31m" + b"x" * 1000))
    assert str(caught.value).endswith("; it is '\\x1b[31m" + "x" * 75 + "\u2026'")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "=", "'x", "a=1", "\uff1d1"])
def test_csv_for_spreadsheets_has_no_formulas(name: str) -> None:
    pet = NewPet(name=name, age=7, type=PetType.DOG, created_at=AT).with_id(1)
    quoted = f"'{name}" if name[0] in "=+-@" else name
    assert CSV_FOR_SPREADSHEETS.lines([pet]).decode() == f"1,{quoted},7,dog,2021-05-18T19:10:17\n"
    assert CSV.lines([pet]).decode() == f"1,{name},7,dog,2021-05-18T19:10:17\n"


def test_csv_for_spreadsheets_says_that_it_is_utf_8() -> None:
    assert CSV_FOR_SPREADSHEETS.header == b"\xef\xbb\xbf" + CSV.header
