"""Strict reading of JSON, checked with random documents."""

import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.api.formats import ndjson_reader
from pets.api.pet_lines import PetLine
from pets.api.schemas import PetCreate, PetsDelete
from pets.api.strict_json import Invalid, decode

VALUES: Final[st.SearchStrategy[object]] = st.sampled_from(
    [7, "x", "boy", "dog", None, 101, -1, 7.0, [], {}, [1], ["1"], True]
)
NAMES: Final = st.sampled_from(["name", "age", "type", "ids", "other"])


def written(members: list[tuple[str, object]]) -> bytes:
    parts = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members]
    return f"{{{', '.join(parts)}}}".encode()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_a_document_is_decoded_or_its_fault_is_named(members: list[tuple[str, object]]) -> None:
    """If a document repeats a member, the last value counts."""
    for struct in (PetCreate, PetsDelete):
        try:
            read = decode(written(members), struct)
        except Invalid as error:
            assert error.faults  # noqa: PT017  # a document may be valid or not
        else:
            assert read == decode(json.dumps(dict(members)).encode(), struct)


def test_an_error_says_what_the_document_should_have_been() -> None:
    with pytest.raises(Invalid, match=r"^PetCreate$"):
        decode(b"{}", PetCreate)


@pytest.mark.parametrize("first", [("age", "x"), ("name", ""), ("type", 1)])
def test_a_line_may_repeat_a_member_as_a_body_may(first: tuple[str, object]) -> None:
    line = written([first, ("name", "boy"), ("age", 7), ("type", "dog")])
    pet = ndjson_reader(PetLine)(line).to_pet()
    assert (pet.name, pet.age) == ("boy", 7)
