"""One check of the store answers all who ask whether the service is ready."""

import asyncio

import pytest

from pets.adapters.memory import InMemoryPetRepository
from pets.api import health
from pets.api.health import StoreCheck
from pets.domain.errors import StoreUnavailable

pytestmark = pytest.mark.anyio


class CheckedRepository(InMemoryPetRepository):
    """Counts its checks. Each of them ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0
        self.answers = asyncio.Event()
        self.error: Exception | None = None

    async def check(self) -> None:
        self.checks += 1
        await self.answers.wait()
        if self.error:
            raise self.error


@pytest.fixture
async def repository() -> CheckedRepository:
    return CheckedRepository()


@pytest.mark.parametrize("error", [None, StoreUnavailable("gone")])
async def test_callers_share_the_outcome_of_one_check(
    repository: CheckedRepository, error: StoreUnavailable | None
) -> None:
    repository.error = error
    check = StoreCheck()
    callers = [asyncio.create_task(check.failure(repository)) for _ in range(100)]
    await asyncio.sleep(0)
    repository.answers.set()
    assert await asyncio.gather(*callers) == [error] * 100
    assert await check.failure(repository) is error
    assert repository.checks == 1


async def test_an_outcome_is_not_shared_for_longer_than_a_second(
    repository: CheckedRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.answers.set()
    check = StoreCheck()
    await check.failure(repository)
    monkeypatch.setattr(health, "CHECK_SECONDS", 0)
    await check.failure(repository)
    assert repository.checks == 2
    assert health.READY_TIMEOUT_SECONDS == 1


async def test_a_check_goes_on_when_its_first_caller_leaves(repository: CheckedRepository) -> None:
    check = StoreCheck()
    first, second = (asyncio.create_task(check.failure(repository)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    repository.answers.set()
    assert await second is None
    assert repository.checks == 1


async def test_a_check_without_an_answer_fails_in_time(
    repository: CheckedRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "READY_TIMEOUT_SECONDS", 0.01)
    check = StoreCheck()
    failures = await asyncio.gather(*(check.failure(repository) for _ in range(3)))
    assert [str(failure) for failure in failures] == ["The store did not answer in time."] * 3
    assert repository.checks == 1


async def test_no_check_begins_while_another_cannot_be_ended(
    repository: CheckedRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver of a database may take longer to stop than callers wait."""
    monkeypatch.setattr(health, "READY_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(health, "CHECK_SECONDS", 0)
    waits = repository.answers.wait

    async def wait_although_cancelled() -> bool:
        try:
            return await waits()
        except asyncio.CancelledError:
            return await waits()

    monkeypatch.setattr(repository.answers, "wait", wait_although_cancelled)
    check = StoreCheck()
    for _ in range(3):
        assert str(await check.failure(repository)) == "The store did not answer in time."
    assert repository.checks == 1
    repository.answers.set()
    await check.failure(repository)
