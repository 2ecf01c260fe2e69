"""What the tests of the store in memory share."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from pets.adapters import memory
from tests.port_contract import PassTime


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> PassTime:
    """Move the clock of the store."""

    async def move_clock(time: timedelta) -> None:
        now: Callable[[], float] = getattr(memory, "monotonic")  # noqa: B009  # mypy hides it
        monkeypatch.setattr(memory, "monotonic", lambda: now() + time.total_seconds())

    return move_clock
