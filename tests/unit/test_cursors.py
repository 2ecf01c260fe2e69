"""Cursors hold a position in few characters, none of which a URL would have to encode."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pets.api.cursors import MAX_CURSOR_LENGTH, read_cursor, write_cursor
from pets.domain.pet import MAX_ID, MAX_NAME_LENGTH
from pets.domain.query import PetQuery, PetSort, Position

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
