"""Queries: which positions they may begin after."""

import pytest

from pets.domain.errors import InvalidQuery
from pets.domain.query import PetQuery, PetSort, Position


@pytest.mark.parametrize("age", [4, 10])
def test_a_position_in_the_order_of_ages_must_pass_the_filter(age: int) -> None:
    with pytest.raises(InvalidQuery, match="after"):
        PetQuery(age_min=5, age_max=9, sort=PetSort.AGE, after=Position(age, 1))


@pytest.mark.parametrize("age", [5, 9])
def test_a_position_may_have_the_lowest_or_the_highest_age(age: int) -> None:
    query = PetQuery(age_min=5, age_max=9, sort=PetSort.AGE, after=Position(age, 1))
    assert query.after == Position(age, 1)
