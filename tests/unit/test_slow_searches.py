"""What a search that failed tells its client. No database has to be slow for it."""

import pytest
from asyncpg.exceptions import LockNotAvailableError, PostgresError, QueryCanceledError

from pets.adapters.sqlalchemy.failures import Outcome, domain_error, explained
from pets.domain.errors import StoreUnavailable
from pets.domain.query import PetQuery


def told(query: PetQuery, error: PostgresError) -> str:
    with pytest.raises(StoreUnavailable) as caught, explained(query):
        raise domain_error(Outcome.NOT_NOW, error) from error
    assert caught.value.__cause__ is error  # for operators
    return str(caught.value)


def test_a_search_for_a_part_of_a_name_that_took_too_long_says_what_helps() -> None:
    message = told(PetQuery(name="bo"), QueryCanceledError("canceled"))
    for help_ in ("three letters or more", "other filters", "`pets index-names`"):
        assert help_ in message


def test_a_search_that_failed_otherwise_keeps_its_message() -> None:
    message = told(PetQuery(name="bo"), LockNotAvailableError("locked"))
    assert message == "Another transaction held a lock for too long."


def test_another_listing_that_took_too_long_keeps_its_message() -> None:
    message = told(PetQuery(name_is="boy"), QueryCanceledError("canceled"))
    assert message == "The store did not answer in time."
