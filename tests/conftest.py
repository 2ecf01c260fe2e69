"""Settings of pytest for all tests."""

import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A shell makes a command in the background ignore SIGINT, and the processes under test would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples take long on a busy machine.
settings.register_profile(
    "unhurried", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
)
settings.load_profile("unhurried")

pytest.register_assert_rewrite("tests.api_contract", "tests.port_contract")

pytest_plugins = ["tests.leftovers"]

LONGEST = ["test_deployment.py", "test_transfer.py", "test_serve.py"]
"""The slowest files. They run first, so that no process is left with one when others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Undo what a command that ran in this process chose for signals and failing threads."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    report_failed_thread = threading.excepthook
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    threading.excepthook = report_failed_thread


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop of `pets serve`, for tests too."""
    return "asyncio", {"use_uvloop": True}
