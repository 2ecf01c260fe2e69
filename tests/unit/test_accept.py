"""Which media type a client wants to get."""

import time
from typing import Any

import pytest

from pets.api.accept import NotAcceptable, wanted_type

OFFERED = ("application/json", "application/x-ndjson", "text/csv")


def scope(*values: bytes) -> dict[str, Any]:  # Any: ASGI
    return {"headers": [(b"host", b"pets"), *((b"accept", value) for value in values)]}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (b"", "application/json"),
        (b" , ", "application/json"),
        (b"*/*", "application/json"),
        (b"application/*", "application/json"),
        (b"application/json;charset=utf-8", "application/json"),
        (b"application/x-ndjson", "application/x-ndjson"),
        (b"text/*", "text/csv"),
        (b"Text/CSV; header=present", "text/csv"),
        (b"application/x-ndjson, application/json", "application/json"),
        (b"text/csv, application/x-ndjson", "application/x-ndjson"),
        (b"text/csv, */*;q=0.1", "text/csv"),
        (b"application/json;q=0.5, text/csv;q=0.501", "text/csv"),
        (b"application/json ; Q=0.5 , text/csv", "text/csv"),
        (b"*/*, application/json;q=0", "application/x-ndjson"),
        (b"application/*;q=0.9, application/json;q=0.1", "application/x-ndjson"),
        (b"text/csv;q=0.9;x=y, application/json;q=1.000", "application/json"),
        (b"text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        (b"text/csv;q=0.2, text/csv;q=0.8, application/json;q=0.5", "text/csv"),
        (b"text/csv;q=2, application/json;q=0.1", "application/json"),
        (b"\xff, text/csv", "text/csv"),
        (b"*", "application/json"),
        (b"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json"),
        (b"application/json;q=1.0000, text/csv;q=0.12345", "application/json"),
    ],
)
def test_the_type_of_the_highest_weight_is_wanted(accept: bytes, wanted: str) -> None:
    assert wanted_type(scope(accept), OFFERED) == wanted


def test_the_first_type_is_wanted_without_the_header() -> None:
    assert wanted_type(scope(), OFFERED) == "application/json"


def test_repeated_headers_form_one_list() -> None:
    assert wanted_type(scope(b"text/csv", b"application/json;q=0.5"), OFFERED) == "text/csv"


@pytest.mark.parametrize(
    "accept",
    [
        b"text/html",
        b"application/jsonx",
        b"application/xml, image/*",
        b"text/csv;q=0",
        b"text/csv;q=0.000",
        b"text/csv;q=0, text/*",
        b"text/csv;q=1.001",
        b"text/csv;q=-1",
        b"text/csv;q=nan",
        b"csv",
    ],
)
def test_a_type_that_cannot_be_had_is_refused(accept: bytes) -> None:
    with pytest.raises(NotAcceptable, match="text/csv"):
        wanted_type(scope(accept), OFFERED)


@pytest.mark.parametrize("element", [b"a/b;q=0.1,", b";", b",", b"a;q=", b" "])
def test_a_long_header_is_read_quickly(element: bytes) -> None:
    accept = b"text/csv," + element * (64_000 // len(element))
    began = time.process_time()
    wanted_type(scope(accept), OFFERED)
    assert time.process_time() - began < 0.5
