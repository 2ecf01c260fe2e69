"""Cursors hold a position in few characters, none of which a URL would have to encode."""

import re
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.api.cursors import MAX_CURSOR_LENGTH, read_cursor, write_cursor
from pets.domain.errors import InvalidQuery
from pets.domain.pet import MAX_ID, MAX_NAME_LENGTH
from pets.domain.query import PetQuery, PetSort, Position

TIME = datetime.fromisoformat("2021-05-18T19:10:17")
UNRESERVED = re.compile("[A-Za-z0-9_-]+")


def positioned(position: Position, sort: PetSort = PetSort.NAME) -> PetQuery:
    return PetQuery(sort=sort, after=position)


@pytest.mark.parametrize("length", range(1, 101))
def test_a_cursor_of_any_length_is_read_back(length: int) -> None:
    query = positioned(Position("x" * length, 1))
    cursor = write_cursor(query)
    assert UNRESERVED.fullmatch(cursor)
    assert read_cursor(cursor, replace(query, after=None)) == query


def test_the_longest_cursor_is_as_long_as_the_document_says() -> None:
    longest = Position("\U0001f408" * MAX_NAME_LENGTH, MAX_ID)
    assert len(write_cursor(positioned(longest))) == MAX_CURSOR_LENGTH


@given(id_=st.integers(1, MAX_ID))
def test_a_cursor_of_any_id_is_read_back(id_: int) -> None:
    query = positioned(Position(id_, id_), PetSort.ID)
    assert read_cursor(write_cursor(query), replace(query, after=None)) == query


def test_a_cursor_of_version_1_2_is_taken_beside_it() -> None:
    """While replicas are upgraded, a walk goes on with either version."""
    query = PetQuery(name="bo", sort=PetSort.NAME)
    cursor = "AdJGMEJV8wlWWyJib3kiLDdd"
    assert write_cursor(replace(query, after=Position("boy", 7))) == cursor


@pytest.mark.parametrize(
    "other",
    [
        PetQuery(ids=frozenset()),
        PetQuery(ids=frozenset({1, 2})),
        PetQuery(name_is="boy"),
        PetQuery(created_from=TIME),
        PetQuery(created_to=TIME),
        PetQuery(created_from=TIME, created_to=TIME),
    ],
)
def test_a_cursor_belongs_to_its_filters(other: PetQuery) -> None:
    cursor = write_cursor(replace(other, after=Position(1, 1)))
    assert read_cursor(cursor, other).after == Position(1, 1)
    for query in (PetQuery(), replace(other, ids=frozenset({1})), PetQuery(name="boy")):
        with pytest.raises(InvalidQuery, match="cursor"):
            read_cursor(cursor, query)
