"""Queries: which values they may have, and which positions they may begin after."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pets.domain.errors import InvalidQuery
from pets.domain.pet import MAX_ID, PetType
from pets.domain.query import PetQuery, PetSort, Position

AGE = "an integer from 0 to 100"
PART = "1 to 100 characters, none of them a control character"
NAME = (
    "1 to 100 characters, not counting white space at both ends, none of them a control character"
)
TIMES = "from 0001-01-02T00:00:00 to 9999-12-31T23:59:59"
TIME = datetime.fromisoformat("2021-05-18T19:10:17")


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [
        ("age_min", -1, AGE),
        ("age_max", 101, AGE),
        ("name", "", PART),
        ("name_is", " ", NAME),
        ("name_is", "x" * 101, NAME),
        ("created_from", TIME.replace(tzinfo=UTC), TIMES),
        ("created_from", TIME.replace(microsecond=1), TIMES),
        ("created_to", datetime.max, TIMES),  # noqa: DTZ901  # a driver takes it for infinity
        ("ids", frozenset({1, 0}), "from 1 to 9223372036854775807"),
        ("ids", frozenset({1, MAX_ID + 1}), "from 1 to 9223372036854775807"),
        ("limit", -1, "an integer, 0 or more"),
        ("after", Position(1, 2), "a position in the order of the query"),
    ],
)
def test_a_bad_value_is_rejected_with_its_rule(
    member: str,
    value: Any,  # Any: each member has a type of its own
    rule: str,
) -> None:
    with pytest.raises(InvalidQuery) as caught:
        PetQuery(**{member: value})
    error = caught.value
    assert (error.member, error.rule, str(error)) == (member, rule, f"{member} must be {rule}")


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        (PetSort.ID, "1"),
        (PetSort.NAME, 1),
        (PetSort.NAME, ""),
        (PetSort.NAME, "a\n"),
        (PetSort.AGE, "7"),
        (PetSort.CREATED_AT, 7),
        (PetSort.CREATED_AT, TIME.replace(tzinfo=UTC)),
        (PetSort.CREATED_AT, TIME.replace(microsecond=1)),
        (PetSort.CREATED_AT, datetime.min),  # noqa: DTZ901  # a driver takes it for minus infinity
        (PetSort.CREATED_AT, datetime.max),  # noqa: DTZ901  # and this one for infinity
    ],
)
def test_a_position_has_a_value_of_the_member_sorted_by(
    sort: PetSort, value: int | str | datetime
) -> None:
    with pytest.raises(InvalidQuery, match="after"):
        PetQuery(sort=sort, after=Position(value, 1))


@pytest.mark.parametrize("id_", [1, MAX_ID])
def test_a_position_may_have_the_lowest_or_the_highest_id(id_: int) -> None:
    position = Position("boy", id_)
    assert PetQuery(sort=PetSort.NAME, after=position).after == position


@pytest.mark.parametrize("id_", [0, MAX_ID + 1])
def test_a_position_outside_the_range_of_ids_is_rejected(id_: int) -> None:
    with pytest.raises(InvalidQuery, match="after"):
        PetQuery(sort=PetSort.NAME, after=Position("boy", id_))


@pytest.mark.parametrize("age", [4, 10])
def test_a_position_in_the_order_of_ages_must_pass_the_filter(age: int) -> None:
    with pytest.raises(InvalidQuery, match="after"):
        PetQuery(age_min=5, age_max=9, sort=PetSort.AGE, after=Position(age, 1))


@pytest.mark.parametrize("age", [5, 9])
def test_a_position_may_have_the_lowest_or_the_highest_age(age: int) -> None:
    query = PetQuery(age_min=5, age_max=9, sort=PetSort.AGE, after=Position(age, 1))
    assert query.after == Position(age, 1)


@pytest.mark.parametrize(
    "query",
    [
        PetQuery(name="o"),
        PetQuery(name_is="boy"),
        PetQuery(created_from=TIME),
        PetQuery(created_to=TIME, type=PetType.DOG),
    ],
)
def test_a_query_that_reads_each_match_is_a_search(query: PetQuery) -> None:
    assert query.is_search


@pytest.mark.parametrize(
    "query",
    [
        PetQuery(),
        PetQuery(type=PetType.DOG, age_min=1, age_max=9),
        PetQuery(ids=frozenset({1})),
        PetQuery(ids=frozenset(), name="o", created_from=TIME),
    ],
)
def test_a_query_of_kept_counts_or_few_ids_is_no_search(query: PetQuery) -> None:
    assert not query.is_search
