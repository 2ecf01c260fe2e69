"""Settings of pytest for all tests."""

import signal

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


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop of `pets serve`, for tests too."""
    return "asyncio", {"use_uvloop": True}
