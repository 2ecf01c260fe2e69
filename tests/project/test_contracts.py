"""The contracts that every adapter runs."""

from itertools import chain

import pytest

from tests.api_contract import APIContract
from tests.port_contract import PetRepositoryContract


@pytest.mark.parametrize("contract", [APIContract, PetRepositoryContract])
def test_no_promise_of_a_contract_hides_another(contract: type) -> None:
    """A test in one of its classes would never run if another class had one of the same name."""
    names = list(chain.from_iterable(vars(part) for part in contract.__mro__))
    promises = [name for name in names if name.startswith("test_")]
    assert len(promises) == len(set(promises))
