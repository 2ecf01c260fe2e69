"""The errors of the domain, as operators read them."""

import pytest

from pets.domain.errors import StoreUnavailable


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (None, ""),
        (OSError("refused"), "refused"),
        (OSError("refused\nparameters: secret"), "refused"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_reason_is_the_first_line_of_the_cause(cause: Exception | None, reason: str) -> None:
    error = StoreUnavailable("The store is away.")
    error.__cause__ = cause
    assert error.reason == reason
