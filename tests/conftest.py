import pytest

pytest.register_assert_rewrite("tests.api_contract", "tests.port_contract")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # as `pets serve` runs
