import pytest

pytest.register_assert_rewrite("tests.api_contract", "tests.port_contract")

LONGEST = ["test_deployment.py", "test_transfer.py", "test_serve.py"]
"""Files that take longest, begun first because a process that got one last would end long after the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # as `pets serve` runs
