"""Where the exact count of a listing comes from, for the servers that have a store."""

from collections.abc import Iterable
from typing import Final

KEPT: Final = "SELECT coalesce(sum(count), 0)::bigint FROM pet_counts"


def count(conditions: Iterable[str]) -> str:
    """Return a statement that counts the pets for which all these SQL conditions hold.

    They are about types and ages, by which the database keeps the counts.
    """
    conditions = list(conditions)
    is_by_age = any("age" in condition for condition in conditions)
    # The rows of age -1 have the counts of all ages.
    return KEPT + where([*conditions, "age >= 0" if is_by_age else "age = -1"])


def where(conditions: Iterable[str]) -> str:
    conditions = list(conditions)
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
