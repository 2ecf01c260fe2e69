"""Where the exact count of a listing comes from, for the servers that have a store."""

from collections.abc import Iterable
from typing import Final

BY_TYPE: Final = "SELECT coalesce(sum(count), 0)::bigint FROM pet_counts"

BY_AGE: Final = "SELECT count(*) FROM pets"
"""Here belong the counts that the database keeps by age, as soon as it keeps any."""


def count(conditions: Iterable[str]) -> str:
    """Return a statement that counts the pets for which all these SQL conditions hold."""
    conditions = list(conditions)
    source = BY_AGE if any("age" in condition for condition in conditions) else BY_TYPE
    return source + where(conditions)


def where(conditions: Iterable[str]) -> str:
    conditions = list(conditions)
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
