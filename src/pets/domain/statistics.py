"""Statistics: how many pets of each type and age there are, and their mean and median age."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pets.domain.pet import PetType
from pets.domain.query import PetQuery

Counts = Mapping[tuple[PetType, int], int]
"""How many pets of each type and age there are. A pair without pets may be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PetStatistics:
    """Numbers about the pets that pass a filter. They are exact.

    - `by_type` has every type, and `by_age` the ages of pets in ascending order.
    - `mean_age` and `median_age` are in years, and None without pets. The mean is rounded to two
      decimals. The median of an even number of pets is the mean of the two in the middle.
    """

    count: int
    by_type: Mapping[PetType, int]
    by_age: Mapping[int, int]
    mean_age: float | None
    median_age: float | None

    @classmethod
    def of(cls, counts: Counts, query: PetQuery) -> Self:
        """Return the statistics of the pets that pass the query's filters by type and age.

        Counts cannot answer the other filters, so the query must not have them.
        """
        by_type = dict.fromkeys(PetType, 0)
        ages: Counter[int] = Counter()
        for (kind, age), number in counts.items():
            if number and query.passes(kind, age):
                by_type[kind] += number
                ages[age] += number
        by_age = dict(sorted(ages.items()))
        count = ages.total()
        years = sum(age * number for age, number in by_age.items())
        return cls(
            count=count,
            by_type=by_type,
            by_age=by_age,
            mean_age=_mean(years, count) if count else None,
            median_age=_median(by_age, count) if count else None,
        )


def _mean(years: int, count: int) -> float:
    """Return the mean in hundredths, half of which are rounded up."""
    return (200 * years + count) // (2 * count) / 100


def _median(by_age: Mapping[int, int], count: int) -> float:
    return (_nth(by_age, (count - 1) // 2) + _nth(by_age, count // 2)) / 2


def _nth(by_age: Mapping[int, int], place: int) -> int:
    """Return the age of the pet at this place, counted from 0, in the order of ages."""
    for age, number in by_age.items():
        place -= number
        if place < 0:
            return age
    raise IndexError(place)
