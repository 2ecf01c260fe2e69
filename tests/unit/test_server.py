"""The application as the server runs it."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest
from litestar.testing import TestClient

from pets.bootstrap.service import create_served_app
from pets.settings import Settings


@pytest.fixture
def signals() -> Iterator[list[int]]:
    """The signals that reach the handlers installed before the application, as uvicorn's are."""
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)

    earlier_sigint = signal.signal(signal.SIGINT, receive)
    earlier_sigterm = signal.signal(signal.SIGTERM, receive)
    yield received
    signal.signal(signal.SIGINT, earlier_sigint)
    signal.signal(signal.SIGTERM, earlier_sigterm)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_readiness_and_reaches_the_server(number: int, signals: list[int]) -> None:
    served = create_served_app(Settings(database_url="memory://"))
    with TestClient(served) as client:
        assert client.get("/health/ready").status_code == 200
        signal.raise_signal(number)
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
    assert signals == [number]
