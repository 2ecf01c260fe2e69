"""Requests that must be rejected, each with its exact status."""

import json
from base64 import urlsafe_b64encode
from codecs import BOM_UTF8
from dataclasses import dataclass, field, replace
from hashlib import blake2b

JSON = {"content-type": "application/json"}
MERGE_PATCH = {"content-type": "application/merge-patch+json"}


@dataclass(frozen=True)
class BadRequest:
    name: str
    status: int
    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    pointers: list[str] | None = None
    """The pointers of the problem document, if it must have any."""
    parameters: list[str] | None = None
    """The query parameters that it must name, if any are wrong. The first one is in the detail."""
    detail: str = ""
    """A text that the detail of the problem document must contain."""

    @property
    def type(self) -> str:
        """The type of the problem: a bad request says which part of it is bad."""
        if self.status == 404 and self.path.endswith("/9223372036854775807"):
            return "/problems/pet-not-found"
        if self.status != 400:
            return "about:blank"
        if self.parameters:
            return "/problems/invalid-query"
        in_header = "idempotency-key" in self.headers
        return "/problems/invalid-header" if in_header else "/problems/invalid-body"


def _member(name: str, value: object) -> bytes:
    return json.dumps({"name": "boy", "age": 7, "type": "dog"} | {name: value}).encode()


BODIES_THAT_ARE_NOT_JSON = {
    "half an array": b'[{"name": "boy", "age": 7, "type": "dog"}, ',
    "two arrays": b"[][]",
    "an array of bad UTF-8": b'["\xff"]',
    "empty": b"",
    "white space": b" \n",
    "half a document": b'{"name": "boy", ',
    "a trailing comma": b'{"ids": [1], "name": "boy", "age": 7, "type": "dog",}',
    "two documents": b'{"ids": []}{"ids": []}',
    "a comment": b'{"ids": [] /* all */}',
    "single quotes": b"{'ids': []}",
    "bare words": b"ids",
    "NaN": b'{"ids": [NaN], "age": NaN}',
    "a leading zero": b'{"ids": [01], "age": 01}',
    "a plus sign": b'{"ids": [+1], "age": +1}',
    "hexadecimal": b'{"ids": [0x1], "age": 0x1}',
    "a form": b"name=boy&age=7&type=dog&ids=1",
    "XML": b"<pet/>",
    "two byte order marks": 2 * BOM_UTF8 + b'{"ids": []}',
    "a byte order mark alone": BOM_UTF8,
    "UTF-16": '{"ids": []}'.encode("utf-16"),
    "Latin-1": '{"name": "Ñandú", "age": 7, "type": "dog"}'.encode("latin-1"),
    "bad UTF-8": b'{"name": "\xff\xfe", "ids": ["\xff"]}',
    "an overlong encoding": b'{"name": "\xc0\xaf", "ids": ["\xc0\xaf"]}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\x80", "ids": ["\xed\xa0\x80"]}',
    "half a surrogate pair": rb'{"name": "\ud800", "ids": ["\ud800"]}',
    "a bad escape": rb'{"name": "\x41", "ids": ["\x41"]}',
    "a raw control character": b'{"name": "a\x01", "ids": ["\x01"]}',
    "a raw NUL": b"\x00",
    "arrays nested too deep": b"[" * 10_000,
    "objects nested too deep": b'{"a":' * 3_000,
    "an unknown member nested too deep": b'{"name": ' + b"[" * 10_000,
}

BODIES_THAT_ARE_NO_OBJECT = {
    "null": b"null",
    "true": b"true",
    "a number": b"1",
    "a string": b'"ids"',
}

BAD_PETS = {
    "no members": (b"{}", ["#/name", "#/age", "#/type"]),
    "no name": (b'{"age": 7, "type": "dog"}', ["#/name"]),
    "no age": (b'{"name": "boy", "type": "dog"}', ["#/age"]),
    "no type": (b'{"name": "boy", "age": 7}', ["#/type"]),
    "a member too many": (_member("id", 1), ["#/id"]),
    "a misspelt member": (b'{"nmae": "boy", "age": 7, "type": "dog"}', ["#/name", "#/nmae"]),
    "a member that needs escaping": (_member("a/b~c d", 1), ["#/a~1b~0c%20d"]),
    "name null": (_member("name", None), ["#/name"]),
    "name a number": (_member("name", 7), ["#/name"]),
    "name an array": (_member("name", ["boy"]), ["#/name"]),
    "name an object": (_member("name", {}), ["#/name"]),
    "name empty": (_member("name", ""), ["#/name"]),
    "name blank": (_member("name", " \t\u00a0\u3000\n"), ["#/name"]),
    "name too long": (_member("name", "x" * 101), ["#/name"]),
    "name much too long": (_member("name", "x" * 10_000), ["#/name"]),
    "name all white space, very long": (_member("name", " " * 10_000), ["#/name"]),
    "name with white space inside, very long": (
        _member("name", "x" + " " * 9_000 + "x"),
        ["#/name"],
    ),
    "name too long when it is composed": (_member("name", "e\u0301" * 101), ["#/name"]),
    "name too long only when it is composed": (_member("name", "\ufb2d" * 34), ["#/name"]),
    "name of many accents": (_member("name", "a" + "\u0301\u0316" * 1200), ["#/name"]),
    "name with NUL": (_member("name", "a\x00b"), ["#/name"]),
    "name with a newline inside": (_member("name", "a\nb"), ["#/name"]),
    "name with DEL": (_member("name", "a\x7f"), ["#/name"]),
    "name with a C1 control": (_member("name", "a\x9bb"), ["#/name"]),
    "name with a separator control at its end": (_member("name", "a\x1f"), ["#/name"]),
    "age null": (_member("age", None), ["#/age"]),
    "age a string": (_member("age", "7"), ["#/age"]),
    "age true": (_member("age", True), ["#/age"]),  # noqa: FBT003
    "age fractional": (_member("age", 7.5), ["#/age"]),
    "age a whole float": (_member("age", 7.0), ["#/age"]),
    "age negative": (_member("age", -1), ["#/age"]),
    "age too high": (_member("age", 101), ["#/age"]),
    "age over 64 bits": (_member("age", 2**64), ["#/age"]),
    "age over 4300 digits": (
        b'{"name": "boy", "type": "dog", "age": 1' + b"0" * 5000 + b"}",
        ["#/age"],
    ),
    "age with a gigantic exponent": (
        b'{"name": "boy", "type": "dog", "age": 1e999999999}',
        ["#/age"],
    ),
    "age an array": (_member("age", [7]), ["#/age"]),
    "type null": (_member("type", None), ["#/type"]),
    "type unknown": (_member("type", "bird"), ["#/type"]),
    "type in capitals": (_member("type", "Dog"), ["#/type"]),
    "type with a blank": (_member("type", "dog "), ["#/type"]),
    "type a number": (_member("type", 1), ["#/type"]),
    "everything wrong": (
        b'{"name": "", "age": "7", "type": "bird", "x": 1}',
        ["#/name", "#/age", "#/type", "#/x"],
    ),
}

_GOOD_PET = _member("age", 7)
BAD_ARRAYS_OF_PETS = {
    "no pets": (b"[]", ["#"]),
    "arrays": (b"[[], [[]]]", ["#/0", "#/1"]),
    "nothing": (b"[null]", ["#/0"]),
    "a pet of ids": (b'[{"ids": [1]}]', ["#/0/name", "#/0/age", "#/0/type", "#/0/ids"]),
    "a bad pet among good ones": (
        b"[%b, %b, %b]" % (_GOOD_PET, _member("age", 101), _GOOD_PET),
        ["#/1/age"],
    ),
    "a member that needs escaping": (b"[%b]" % _member("a/b~c d", 1), ["#/0/a~1b~0c%20d"]),
    "more pets than allowed": (b"[" + b",".join([_GOOD_PET] * 1001) + b"]", ["#"]),
    "very many bad pets": (
        b"[" + b",".join([b"1"] * 1000) + b"]",
        [f"#/{index}" for index in range(100)],
    ),
}

BAD_LINES = {
    "NDJSON": {
        "an array": (b"[%b]" % _GOOD_PET, ["#/0"]),
        "two pets in a line": (_GOOD_PET + _GOOD_PET, ["#/0"]),
        "a pet in two lines": (_GOOD_PET.replace(b", ", b",\n", 1), ["#/0", "#/1"]),
        "half a pet": (_GOOD_PET + b"\n" + _GOOD_PET[:-1], ["#/1"]),
        "a blank line": (_GOOD_PET + b"\n\n" + _GOOD_PET, ["#"]),
        "two byte order marks": (2 * BOM_UTF8 + _GOOD_PET, ["#/0"]),
        "too many lines": (_GOOD_PET + b"\n" * 10_001, ["#"]),
        "bad UTF-8": (b'{"name": "\xff", "age": 7, "type": "dog"}', ["#/0"]),
        "NUL": (b"\x00", ["#/0"]),
        "an id": (_member("id", 1), ["#/0/id"]),
        "CSV": (b"name,age,type\nboy,7,dog\n", ["#/0", "#/1"]),
        "very many bad lines": (b"1\n" * 5000, [f"#/{index}" for index in range(100)]),
    },
    "CSV": {
        "no header": (b"boy,7,dog\n", ["#"]),
        "a header twice": (b"name,age,type\nname,age,type\n", ["#/0/age", "#/0/type"]),
        "a column twice": (b"name,age,type,Name\nboy,7,dog,boy\n", ["#"]),
        "an unknown column": (b"name,age,type,breed\nboy,7,dog,x\n", ["#"]),
        "an id": (b"id,name,age,type\n1,boy,7,dog\n", ["#"]),
        "an unknown separator": (b"name|age|type\nboy|7|dog\n", ["#"]),
        "another separator below": (b"name;age;type\nboy,7,dog\n", ["#/0"]),
        "an empty value": (b"name,age,type\nboy,,dog\n", ["#/0/age"]),
        "a value too many": (b"name,age,type\nboy,7,dog,\n", ["#/0"]),
        "an open quote": (b'name,age,type\n"boy,7,dog\n', ["#/0"]),
        "a quote within a value": (b'name,age,type\nb"oy,7,dog\n', ["#/0"]),
        "bad UTF-8": (b"name,age,type\n\xff,7,dog\n", ["#/0"]),
        "a header in bad UTF-8": (b"n\xffme,age,type\n", ["#"]),
        "UTF-16": ("name,age,type\nboy,7,dog\n".encode("utf-16"), ["#"]),
        "NUL": (b"\x00", ["#"]),
        "an age in Arabic digits": ("name,age,type\nboy,\u0663,dog\n".encode(), ["#/0/age"]),
        "JSON": (_GOOD_PET, ["#"]),
        "more pets than allowed": (b"name,age,type\n" + b"boy,7,dog\n" * 1001, ["#"]),
        "very many columns": (b"," * 2**19, ["#"]),
    },
}
"""A body, and the pointers of its faults."""

BAD_IDS = {
    "an array": (b'[{"ids": [1]}]', ["#"]),
    "no ids": (b"{}", ["#/ids"]),
    "ids null": (b'{"ids": null}', ["#/ids"]),
    "ids a number": (b'{"ids": 1}', ["#/ids"]),
    "ids a string": (b'{"ids": "1"}', ["#/ids"]),
    "ids an object": (b'{"ids": {"1": 1}}', ["#/ids"]),
    "an id a string": (b'{"ids": [1, "2"]}', ["#/ids/1"]),
    "an id null": (b'{"ids": [1, null]}', ["#/ids/1"]),
    "an id true": (b'{"ids": [1, true]}', ["#/ids/1"]),
    "an id fractional": (b'{"ids": [1, 1.5]}', ["#/ids/1"]),
    "an id a whole float": (b'{"ids": [1, 1.0]}', ["#/ids/1"]),
    "an id with an exponent": (b'{"ids": [1, 1e0]}', ["#/ids/1"]),
    "an id an array": (b'{"ids": [1, [1]]}', ["#/ids/1"]),
    "an id with a gigantic exponent": (b'{"ids": [1, 1e999999999]}', ["#/ids/1"]),
    "an id of over 4300 digits": (b'{"ids": [1, 1' + b"0" * 5000 + b"]}", ["#/ids/1"]),
    "several ids wrong": (b'{"ids": ["1", 1, null, 2, {}]}', ["#/ids/0", "#/ids/2", "#/ids/4"]),
    "too many ids": (json.dumps({"ids": list(range(10_001))}).encode(), ["#/ids"]),
    "very many wrong ids": (
        b'{"ids": [' + b"0.5," * 9_999 + b"0.5]}",
        [f"#/ids/{index}" for index in range(100)],
    ),
    "a member too many": (b'{"ids": [1], "all": true}', ["#/all"]),
    "a misspelt member": (b'{"id": [1]}', ["#/ids", "#/id"]),
}

BAD_INTEGERS = {
    "empty": "",
    "words": "all",
    "a list": "1,2",
    "with a leading zero": "01",
    "with a plus sign": "%2B1",
    "with a blank": "1%20",
    "fractional": "1.0",
    "with an exponent": "1e0",
    "in Arabic digits": "%D9%A3",
    "of over 4300 digits": "1" + "0" * 5000,
}

BAD_LIMITS = {
    "negative": "-1",
    "minus zero": "-0",
    "with a plus sign": "%2B5",
    "empty": "",
    "blank": "%20",
    "with a blank": "%205",
    "fractional": "5.5",
    "a whole float": "5.0",
    "with an exponent": "1e2",
    "hexadecimal": "0x5",
    "with an underscore": "1_0",
    "with a comma": "1,000",
    "in Arabic digits": "%D9%A3",
    "a superscript": "%C2%B2",
    "words": "all",
    "null": "null",
    "infinite": "inf",
    "with NUL": "5%00",
    "bad UTF-8": "%FF",
    "very negative": "-" + "9" * 5000,
    "an injection": "1;DROP%20TABLE%20pets",
}

BAD_CHANGES = {
    "an array": (b"[]", ["#"]),
    "a member too many": (b'{"age": 8, "id": 2}', ["#/id"]),
    "a time": (b'{"created_at": "2021-05-18T19:10:17"}', ["#/created_at"]),
    "name null": (b'{"name": null}', ["#/name"]),
    "age null": (b'{"age": null}', ["#/age"]),
    "type null": (b'{"type": null}', ["#/type"]),
    "name blank": (b'{"name": " ", "age": 8}', ["#/name"]),
    "age too high": (b'{"age": 101}', ["#/age"]),
    "age a string": (b'{"age": "7"}', ["#/age"]),
    "type unknown": (b'{"type": "bird"}', ["#/type"]),
    "everything wrong": (
        b'{"name": "", "age": "7", "type": "bird", "x": 1}',
        ["#/name", "#/age", "#/type", "#/x"],
    ),
}

BAD_QUERIES = {
    "an unknown parameter": ("colour=red", "colour"),
    "a misspelt parameter": ("tpye=dog", "tpye"),
    "a parameter in capitals": ("Type=dog", "Type"),
    "a parameter in brackets": ("ids[]=1", "ids[]"),
    "a parameter without name": ("=5", ""),
    "a parameter after good ones": ("limit=5&type=dog&x=1", "x"),
    "a limit twice": ("limit=5&limit=5", "limit"),
    "a type twice": ("type=dog&type=cat", "type"),
    "a cursor twice": ("cursor=a&cursor=a", "cursor"),
    "a type unknown": ("type=bird", "type"),
    "a type in capitals": ("type=DOG", "type"),
    "a type empty": ("type=", "type"),
    "a type of two": ("type=dog,cat", "type"),
    "an age negative": ("age_min=-1", "age_min"),
    "an age too high": ("age_max=101", "age_max"),
    "an age gigantic": ("age_max=" + "9" * 5000, "age_max"),
    "an age fractional": ("age_min=7.5", "age_min"),
    "an age in Arabic digits": ("age_min=%D9%A3", "age_min"),
    "an age empty": ("age_max=", "age_max"),
    "a name empty": ("name=", "name"),
    "a name too long": ("name=" + "x" * 101, "name"),
    "a name of many accents": ("name=a" + "%CC%81%CC%96" * 3000, "name"),
    "a whole name of many accents": ("name_is=a" + "%CC%81%CC%96" * 3000, "name_is"),
    "a name with NUL": ("name=%00", "name"),
    "a name with a control character": ("name=a%0Ab", "name"),
    "a name that is not UTF-8": ("name=%FF", "name"),
    "a name that is half a surrogate pair": ("name=%ED%A0%80", "name"),
    "an empty whole name": ("name_is=", "name_is"),
    "a whole name of white space": ("name_is=%20", "name_is"),
    "a whole name too long": ("name_is=" + "x" * 101, "name_is"),
    "a whole name with NUL": ("name_is=a%00", "name_is"),
    "a whole name that is not UTF-8": ("name_is=%FF", "name_is"),
    "two whole names": ("name_is=a&name_is=b", "name_is"),
    "a date alone": ("created_from=2021-05-18", "created_from"),
    "a time without seconds": ("created_from=2021-05-18T19:10", "created_from"),
    "a time with a fraction": ("created_to=2021-05-18T19:10:17.5", "created_to"),
    "a time with an offset": ("created_to=2021-05-18T19:10:17%2B00:00", "created_to"),
    "a time with a blank": ("created_to=2021-05-18+19:10:17", "created_to"),
    "a time in small letters": ("created_to=2021-05-18t19:10:17z", "created_to"),
    "a time without hyphens": ("created_to=20210518T191017", "created_to"),
    "a time in Arabic digits": ("created_to=%D9%A2021-05-18T19:10:17", "created_to"),
    "a day that no month has": ("created_to=2021-02-29T19:10:17", "created_to"),
    "an hour 24": ("created_to=2021-05-18T24:00:00", "created_to"),
    "a leap second": ("created_to=2016-12-31T23:59:60", "created_to"),
    "the year 0": ("created_from=0000-01-01T00:00:00", "created_from"),
    "the very first day": ("created_from=0001-01-01T23:59:59", "created_from"),
    "a year over 9999": ("created_to=10000-01-01T00:00:00", "created_to"),
    "a time of 5000 digits": ("created_to=" + "9" * 5000, "created_to"),
    "an empty time": ("created_to=", "created_to"),
    "a time twice": (
        "created_to=2021-05-18T19:10:17&created_to=2021-05-18T19:10:17",
        "created_to",
    ),
    "over 1000 ids": ("ids=1&" * 1001, "ids"),
    "an id that is no integer and a bad age": ("ids=1&ids=x&age_min=101", "ids age_min"),
    "a sort unknown": ("sort=colour", "sort"),
    "a sort in capitals": ("sort=Name", "sort"),
    "a sort with a plus sign": ("sort=%2Bname", "sort"),
    "a sort turned twice": ("sort=--name", "sort"),
    "a sort by two": ("sort=name,age", "sort"),
    "a sort with an injection": ("sort=name;DROP%20TABLE%20pets", "sort"),
    "a name of a parameter that is not UTF-8": ("na%FFme=x", r"na\xffme"),
    "everything wrong": (
        "limit=-1&type=bird&age_min=101&age_max=x&name=&sort=colour&cursor=A&x=1&limit=2",
        "limit type age_max sort x age_min name",
    ),
}
"""A query, and the names of its bad parameters."""


BAD_QUERIES_OF_STATISTICS = {
    name: BAD_QUERIES[name]
    for name in (
        "an unknown parameter",
        "a type twice",
        "a type unknown",
        "an age too high",
        "an age gigantic",
    )
} | {
    "ids": ("ids=5", "ids"),
    "a limit": ("limit=5", "limit"),
    "a part of a name": ("name=bo", "name"),
    "an order": ("sort=age", "sort"),
}


def _cursor(content: bytes, version: int = 1) -> str:
    digest = blake2b(
        bytes([version]) + content + b'[null,null,null,null,"id",false]', digest_size=8
    ).digest()
    return urlsafe_b64encode(bytes([version]) + digest + content).decode().rstrip("=")


BAD_CURSORS = {
    "empty": "",
    "one letter": "A",
    "no Base64": "%21%21%21%21",
    "in the other Base64": "AX4P%2Bzet2iVNWzEsMV0",
    "padded": _cursor(b"[1,1]") + "%3D%3D",
    "with a blank": _cursor(b"[1,1]") + "%20",
    "cut short": _cursor(b"[1,1]")[:-2],
    "of zeros": "A" * 24,
    "very long": "A" * 50_000,
    "not ASCII": "%F0%9F%90%95",
    "of another version": _cursor(b"[1,1]", version=2),
    "altered": _cursor(b"[1,1]").replace("W", "X"),
    "forged with other text": _cursor(b"boy"),
    "forged with nothing": _cursor(b""),
    "forged with null": _cursor(b"null"),
    "forged with a name": _cursor(b'["boy",1]'),
    "forged with two ids": _cursor(b"[1,2]"),
    "forged with id 0": _cursor(b"[0,0]"),
    "forged with a negative id": _cursor(b"[-1,-1]"),
    "forged with an id over 63 bits": _cursor(b"[9223372036854775808,9223372036854775808]"),
    "forged with an id over 4300 digits": _cursor(b"[1" + b"0" * 5000 + b",1]"),
    "forged with true": _cursor(b"[true,true]"),
    "forged with blanks": _cursor(b"[1, 1]"),
    "forged with nested arrays": _cursor(b"[" * 10_000),
    "forged with bad UTF-8": _cursor(b'["\xff",1]'),
}

BAD_KEYS = {
    "empty": b"",
    "empty in quotes": b'""',
    "blank": b"  ",
    "too long": b"k" * 256,
    "too long in quotes": b'"' + b"k" * 256 + b'"',
    "with a blank outside quotes": b"a b",
    "with a comma": b"a,b",
    "half quoted": b'"abc',
    "with a quote inside": b'"a"b"',
    "with a bad escape": b'"a\\b"',
    "with parameters": b'"abc";x=1',
    "not ASCII": "schlüssel".encode(),
    "with a control character": b'"a\x01"',
}

OTHER_MEDIA_TYPES = {
    "no media type": {},
    "text": {"content-type": "text/plain"},
    "a form": {"content-type": "application/x-www-form-urlencoded"},
    "multipart": {"content-type": "multipart/form-data; boundary=x"},
    "MessagePack": {"content-type": "application/x-msgpack"},
    "a relative of JSON": {"content-type": "application/jsonx"},
    "a merge patch": MERGE_PATCH,
    "nonsense": {"content-type": ";;;,"},
}

BAD_ACCEPTS = {
    "HTML": "text/html",
    "a relative of CSV": "text/csv-schema",
    "nothing": "*/*;q=0",
    "anything but what there is": "application/*;q=0, text/*;q=0.000, */*",
    "weights beyond 1": "text/csv;q=1.1, application/json;q=5",
    "a weight that is no number": "text/csv;q=nan",
    "nonsense": ";;;=,\xff",
    "very many types": "a/b," * 10_000,
}

NO_IDS = [
    "0",
    "01",
    "+1",
    "-1",
    "1.0",
    "1e0",
    "0x1",
    "1_0",
    "%D9%A3",
    "%C2%B2",
    "%201",
    "1%20",
    "1%00",
    "one",
    "null",
]

PATHS_OF_NOTHING = [
    *(f"/pets/{id_}" for id_ in NO_IDS),
    "/pets/9223372036854775808",
    "/pets/" + "9" * 5000,
    "/pets/9223372036854775807",  # a possible id that no pet has
    "/nothing",
    "/pets/1/2/3",
    "/pet/",
    "/PETS/",
    "/pets/Stats",
    "/pets/stats/1",
    "/pets/..%2f..%2fetc%2fpasswd",
    "/%FF%FE",
    "/%00",
    "/" + "x" * 10_000,
    "/health",
    "/health/dead",
    "/schema/nothing",
    "/schema/nothing.json",
    "/docs/nothing",
    "/docs/swagger-ui/nothing.js",
    "/docs/swagger-ui/..%2f__init__.py",
    "/docs/swagger-ui/%00",
    "/docs/swagger-ui/" + "x" * 300,
    "/docs/swagger-ui" + "/a" * 2000,
    "/docs/swagger-ui/swagger-ui.css/x",
]


def _bad_query(name: str, method: str, path: str, bad: str) -> BadRequest:
    return BadRequest(name, 400, method, path, parameters=bad.split(" "))


def bad_queries_and_keys() -> list[BadRequest]:
    requests: list[BadRequest] = []
    for name, (query, bad) in BAD_QUERIES.items():
        requests += [_bad_query(f"GET with {name}", "GET", f"/pets/?{query}", bad)]
    for name, (query, bad) in BAD_QUERIES_OF_STATISTICS.items():
        requests += [
            _bad_query(f"GET of statistics with {name}", "GET", f"/pets/stats?{query}", bad)
        ]
    for name, cursor in BAD_CURSORS.items():
        requests += [
            _bad_query(f"GET with a cursor {name}", "GET", f"/pets/?cursor={cursor}", "cursor")
        ]
    for name, key in BAD_KEYS.items():
        headers = JSON | {"idempotency-key": key.decode("latin-1")}
        requests += [
            BadRequest(
                f"POST with a key {name}", 400, "POST", "/pets/", _member("name", "boy"), headers
            )
        ]
    requests += [
        BadRequest(
            "POST with a query",
            400,
            "POST",
            "/pets/?dry_run=1",
            _member("name", "boy"),
            parameters=["dry_run"],
        )
    ]
    for name, text in BAD_INTEGERS.items():
        requests += [
            _bad_query(f"{method} of ids {name}", method, f"/pets/?ids=1&ids={text}&ids=x", "ids")
            for method in ("DELETE", "GET")
        ]
    requests += [
        BadRequest(
            "DELETE of ids in body and query", 400, "DELETE", "/pets/?ids=1", b'{"ids": [1]}'
        ),
        BadRequest("DELETE of ids in query and not JSON", 400, "DELETE", "/pets/?ids=1", b"x"),
        _bad_query("DELETE of too many ids", "DELETE", "/pets/?" + "ids=1&" * 10_002, "ids"),
        BadRequest(
            "DELETE with a misspelt parameter",
            400,
            "DELETE",
            "/pets/?id=1",
            b'{"ids": [1]}',
            parameters=["id"],
        ),
    ]
    return requests


def bad_requests_to_one_pet() -> list[BadRequest]:
    requests: list[BadRequest] = []
    for name, content in BODIES_THAT_ARE_NOT_JSON.items():
        requests += [BadRequest(f"PATCH with {name}", 400, "PATCH", "/pets/1", content)]
    for name, content in BODIES_THAT_ARE_NO_OBJECT.items():
        requests += [
            BadRequest(f"PATCH with {name}", 400, "PATCH", "/pets/1", content, pointers=["#"])
        ]
    for name, (content, pointers) in BAD_CHANGES.items():
        requests += [
            BadRequest(f"PATCH with {name}", 400, "PATCH", "/pets/1", content, pointers=pointers)
        ]
    for name, headers in OTHER_MEDIA_TYPES.items():
        if name != "a merge patch":
            requests += [BadRequest(f"PATCH as {name}", 415, "PATCH", "/pets/1", b"{}", headers)]
    for name, (content, pointers) in BAD_PETS.items():
        requests += [
            BadRequest(f"PUT with {name}", 400, "PUT", "/pets/1", content, pointers=pointers)
        ]
    requests += [
        BadRequest("PUT as a merge patch", 415, "PUT", "/pets/1", _member("age", 7), MERGE_PATCH),
        BadRequest("PUT with an array", 400, "PUT", "/pets/1", b"[]", pointers=["#"]),
    ]
    for method in ("PATCH", "PUT"):
        too_large = b"{}".ljust(16 * 1024 + 1)
        requests += [BadRequest(f"{method} over 16 KiB", 413, method, "/pets/1", too_large)]
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        requests += [
            BadRequest(
                f"{method} with a query",
                400,
                method,
                "/pets/1?type=dog",
                _member("age", 7),
                parameters=["type"],
            )
        ]
        requests += [
            BadRequest(f"{method} of a pet 0{id_}", 404, method, f"/pets/0{id_}", _member("age", 7))
            for id_ in (0, 1)
        ]
    for method in ("POST", "TRACE", "FROBNICATE"):
        requests += [BadRequest(f"{method} on a pet", 405, method, "/pets/1")]
    return requests


def bad_streams() -> list[BadRequest]:
    requests: list[BadRequest] = []
    queries = BAD_QUERIES | {"a cursor": ("cursor=A", "cursor")}
    for name in ("a cursor twice", "everything wrong"):  # A stream knows no cursor.
        del queries[name]
    for name, (query, bad) in queries.items():
        request = _bad_query(f"GET of CSV with {name}", "GET", f"/pets/?{query}", bad)
        requests += [replace(request, headers={"accept": "text/csv"})]
    for name, limit in BAD_LIMITS.items():
        request = _bad_query(f"GET of CSV up to {name}", "GET", f"/pets/?limit={limit}", "limit")
        requests += [replace(request, headers={"accept": "text/csv"})]
    for name, accept in BAD_ACCEPTS.items():
        requests += [BadRequest(f"GET as {name}", 406, "GET", "/pets/", headers={"accept": accept})]
    return requests


def bad_lines() -> list[BadRequest]:
    requests: list[BadRequest] = []
    for kind, media_type in (("NDJSON", "application/x-ndjson"), ("CSV", "text/csv")):
        headers = {"content-type": media_type}
        for name, (content, pointers) in BAD_LINES[kind].items():
            requests += [
                BadRequest(
                    f"POST of {kind} with {name}", 400, "POST", "/pets/", content, headers, pointers
                )
            ]
        too_large = b"\n".ljust(1024 * 1024 + 1)
        requests += [
            BadRequest(f"POST of {kind} over 1024 KiB", 413, "POST", "/pets/", too_large, headers)
        ]
    return requests


def bad_requests() -> list[BadRequest]:  # noqa: C901  # each table has its own loop
    requests: list[BadRequest] = []
    for method, valid, kib in (
        ("POST", _member("name", "boy"), 1024),
        ("DELETE", b'{"ids": [1]}', 320),
    ):
        for name, content in BODIES_THAT_ARE_NOT_JSON.items():
            requests += [BadRequest(f"{method} with {name}", 400, method, "/pets/", content)]
        for name, content in BODIES_THAT_ARE_NO_OBJECT.items():
            requests += [
                BadRequest(f"{method} with {name}", 400, method, "/pets/", content, pointers=["#"])
            ]
        for name, headers in OTHER_MEDIA_TYPES.items():
            requests += [BadRequest(f"{method} as {name}", 415, method, "/pets/", valid, headers)]
        too_large = valid.ljust(kib * 1024 + 1)
        detail = f"over {kib} KiB"
        requests += [
            BadRequest(f"{method} {detail}", 413, method, "/pets/", too_large, detail=detail)
        ]
    requests += bad_lines()
    requests += bad_streams()
    for name, (content, pointers) in BAD_PETS.items():
        requests += [
            BadRequest(f"POST with {name}", 400, "POST", "/pets/", content, pointers=pointers)
        ]
    for name, (content, pointers) in BAD_ARRAYS_OF_PETS.items():
        requests += [
            BadRequest(
                f"POST of an array of {name}", 400, "POST", "/pets/", content, pointers=pointers
            )
        ]
    for name, (content, pointers) in BAD_IDS.items():
        requests += [
            BadRequest(f"DELETE with {name}", 400, "DELETE", "/pets/", content, pointers=pointers)
        ]
    for name, limit in BAD_LIMITS.items():
        requests += [
            _bad_query(f"GET with a limit {name}", "GET", f"/pets/?limit={limit}", "limit")
        ]
    for method in ("PUT", "PATCH", "TRACE", "FROBNICATE"):
        requests += [BadRequest(f"{method} on the pets", 405, method, "/pets/")]
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE"):
        requests += [BadRequest(f"{method} on the statistics", 405, method, "/pets/stats")]
    for path in ("/health/live", "/docs", "/schema", "/"):
        requests += [BadRequest(f"DELETE on {path}", 405, "DELETE", path)]
    for path in PATHS_OF_NOTHING:
        requests += [BadRequest(f"GET of {path[:40]}", 404, "GET", path)]
    return requests
