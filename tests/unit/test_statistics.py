"""Statistics, computed from counts."""

import statistics
from random import Random

import pytest

from pets.domain.pet import PetType
from pets.domain.query import PetQuery
from pets.domain.statistics import PetStatistics


def of_ages(*ages: int) -> PetStatistics:
    return PetStatistics.of({(PetType.DOG, age): ages.count(age) for age in ages}, PetQuery())


@pytest.mark.parametrize(
    ("ages", "median"),
    [([7], 7), ([1, 9], 5), ([4, 5], 4.5), ([1, 2, 9], 2), ([3, 3, 3, 8], 3), ([1, 3, 8, 8], 5.5)],
)
def test_the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle(
    ages: list[int], median: float
) -> None:
    assert of_ages(*ages).median_age == median


@pytest.mark.parametrize(
    ("ages", "mean"), [([1, 1, 2], 1.33), ([1, 2, 2], 1.67), ([0], 0), ([100, 100], 100)]
)
def test_the_mean_has_two_decimals(ages: list[int], mean: float) -> None:
    assert of_ages(*ages).mean_age == mean


def test_no_pets_have_no_mean_and_no_median() -> None:
    nothing = PetStatistics.of({(PetType.CAT, 7): 0}, PetQuery())
    assert (nothing.count, nothing.mean_age, nothing.median_age) == (0, None, None)
    assert (nothing.by_age, nothing.by_type) == ({}, {PetType.DOG: 0, PetType.CAT: 0})


def test_ages_ascend_in_whatever_order_the_counts_come() -> None:
    assert list(of_ages(9, 1, 7).by_age.items()) == [(1, 1), (7, 1), (9, 1)]


@pytest.mark.parametrize("seed", range(20))
def test_the_numbers_are_those_of_the_pets_that_pass_the_filters(seed: int) -> None:
    random = Random(seed)
    counts = {
        (kind, age): random.choice([0, 1, 2, 1000])
        for kind in PetType
        for age in random.sample(range(101), 20)
    }
    query = PetQuery(
        type=random.choice([None, *PetType]),
        age_min=random.choice([None, 0, 30]),
        age_max=random.choice([None, 70, 100]),
    )
    ages = []
    for (kind, age), number in counts.items():
        if query.type in {None, kind} and (query.age_min or 0) <= age <= (
            100 if query.age_max is None else query.age_max
        ):
            ages += [age] * number
    found = PetStatistics.of(counts, query)
    assert found.count == len(ages) == sum(found.by_type.values()) == sum(found.by_age.values())
    assert found.median_age == statistics.median(ages)
    assert found.mean_age == pytest.approx(statistics.fmean(ages), abs=0.0051)
