"""Batching over an inner repository that is slow or fails, for callers that may be cancelled."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import pytest

from pets.adapters.batching import BatchingPetRepository
from pets.adapters.memory import InMemoryPetRepository
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import NewPet, Pet
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage
from tests.factories import NewPetFactory
from tests.port_contract import PetRepositoryContract, page_of


@pytest.fixture
def repository() -> BatchingPetRepository:
    return BatchingPetRepository(InMemoryPetRepository())


class TestBatchingPetRepository(PetRepositoryContract):
    pass


class GatedRepository(InMemoryPetRepository):
    """Records each call, and runs it or fails it when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[object] = []
        self.outcomes: list[asyncio.Future[None]] = []
        self.bad_name = ""

    async def _gate(self, call: object) -> None:
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        self.outcomes.append(outcome)
        await outcome

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        await self._gate([pet.name for pet in pets])
        if self.bad_name in [pet.name for pet in pets]:
            raise ValueError(self.bad_name)
        return await super().add(pets)

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        (query,) = queries
        await self._gate(query.limit)
        return await super().pages(queries)

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        await self._gate(set(ids))
        return await super().remove(ids, expected=expected)


class Scene:
    """Callers of a batching repository and the calls of its inner one, one step at a time."""

    def __init__(self, max_callers: int = 1024) -> None:
        self.inner = GatedRepository()
        self.repository = BatchingPetRepository(self.inner, max_callers=max_callers)

    async def page(self, limit: int = 20) -> asyncio.Task[PetPage]:
        task = asyncio.ensure_future(page_of(self.repository, PetQuery(limit=limit)))
        await self.settle()
        return task

    async def add(self, *names: str) -> asyncio.Task[Sequence[Pet]]:
        task = asyncio.ensure_future(
            self.repository.add([NewPetFactory.build(name=name) for name in names])
        )
        await self.settle()
        return task

    async def remove(self, *ids: int) -> asyncio.Task[set[int]]:
        task = asyncio.ensure_future(self.repository.remove(ids))
        await self.settle()
        return task

    async def let(self, call: int, error: Exception | None = None) -> None:
        """Let this call of the inner repository proceed, or fail with the error."""
        if error:
            self.inner.outcomes[call].set_exception(error)
        else:
            self.inner.outcomes[call].set_result(None)
        await self.settle()

    async def settle(self) -> None:
        """Let the other tasks run until each waits for the test."""
        for _ in range(10):
            await asyncio.sleep(0)


async def names(task: asyncio.Task[Sequence[Pet]]) -> list[str]:
    return [pet.name for pet in await task]


@pytest.mark.anyio
async def test_a_lone_caller_does_not_wait() -> None:
    scene = Scene()
    await scene.page()
    assert scene.inner.calls == [20]


@pytest.mark.anyio
async def test_waiting_readers_share_the_next_answer() -> None:
    """They do not share the answer of the call that is running, because it may be out of date."""
    scene = Scene()
    early = await scene.page()
    # This pet is acknowledged before the later readers ask, so their answer must have it.
    await InMemoryPetRepository.add(scene.inner, [NewPetFactory.build()])
    late = [await scene.page() for _ in range(3)]
    await InMemoryPetRepository.remove(scene.inner, [1])
    await scene.let(0)
    await InMemoryPetRepository.add(scene.inner, [NewPetFactory.build()])
    await scene.let(1)
    assert scene.inner.calls == [20, 20]
    answers = [await task for task in late]
    assert [pet.id for pet in answers[0].items] == [2]
    assert all(answer is answers[0] for answer in answers)
    assert await early is not answers[0]


@pytest.mark.anyio
async def test_readers_of_different_pages_do_not_wait_for_each_other() -> None:
    scene = Scene()
    await scene.page(20)
    await scene.page(10)
    assert scene.inner.calls == [20, 10]


@pytest.mark.anyio
async def test_one_call_serves_all_waiting_writers() -> None:
    """Each writer gets its own pets."""
    scene = Scene()
    first = await scene.add("a")
    others = [await scene.add("b", "c"), await scene.add(), await scene.add("d")]
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == [["a"], ["b", "c", "d"]]
    assert await names(first) == ["a"]
    assert [await names(task) for task in others] == [["b", "c"], [], ["d"]]


@pytest.mark.anyio
async def test_an_id_that_several_callers_remove_is_counted_once() -> None:
    scene = Scene()
    await InMemoryPetRepository.add(scene.inner, NewPetFactory.batch(4))
    first = await scene.remove(1)
    others = [await scene.remove(1, 2, 9), await scene.remove(2, 3), await scene.remove(3)]
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == [{1}, {1, 2, 3, 9}]
    assert [await task for task in (first, *others)] == [{1}, {2}, {3}, set()]


@pytest.mark.anyio
async def test_cancelling_a_waiting_caller_affects_no_other() -> None:
    scene = Scene()
    await scene.add("a")
    cancelled, other = await scene.add("b"), await scene.add("c")
    cancelled.cancel()
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == [["a"], ["c"]]
    assert await names(other) == ["c"]


@pytest.mark.anyio
async def test_cancelling_a_caller_of_a_running_batch_affects_no_other() -> None:
    scene = Scene()
    await scene.add("a")
    cancelled, other = await scene.add("b"), await scene.add("c")
    await scene.let(0)
    cancelled.cancel()
    await scene.let(1)
    assert await names(other) == ["c"]
    assert cancelled.cancelled()


@pytest.mark.anyio
async def test_cancelling_the_first_caller_does_not_stop_the_next() -> None:
    scene = Scene()
    first, second = await scene.page(), await scene.page()
    first.cancel()
    await scene.settle()
    await scene.let(1)
    assert (await second).count == 0


@pytest.mark.anyio
async def test_cancelling_a_waiting_reader_leaves_nothing_in_memory() -> None:
    scene = Scene()
    first, second = await scene.page(), await scene.page()
    second.cancel()
    await scene.let(0)
    await first
    assert not scene.repository._pages  # noqa: SLF001  # nothing public shows this memory


@pytest.mark.anyio
async def test_a_bad_item_fails_only_its_own_caller() -> None:
    scene = Scene()
    scene.inner.bad_name = "bad"
    await scene.add("a")
    good, bad, fine = await scene.add("b"), await scene.add("bad"), await scene.add("c")
    for call in range(5):
        await scene.let(call)
    assert scene.inner.calls == [["a"], ["b", "bad", "c"], ["b"], ["bad"], ["c"]]
    assert (await names(good), await names(fine)) == (["b"], ["c"])
    with pytest.raises(ValueError, match="bad"):
        await bad
    assert (await InMemoryPetRepository.find(scene.inner, [1, 2, 3, 4])).keys() == {1, 2, 3}


@pytest.mark.anyio
async def test_a_lost_connection_fails_the_batch_without_a_retry() -> None:
    scene = Scene()
    await scene.add("a")
    tasks = [await scene.add("b"), await scene.add("c")]
    await scene.let(0)
    await scene.let(1, StoreUnavailable("gone"))
    for task in tasks:
        with pytest.raises(StoreUnavailable, match="gone"):
            await task
    assert len(scene.inner.calls) == 2


@pytest.mark.anyio
async def test_after_a_failure_the_next_callers_are_served() -> None:
    scene = Scene()
    first = await scene.add("a")
    second = await scene.add("b")
    await scene.let(0, StoreUnavailable("gone"))
    await scene.let(1)
    with pytest.raises(StoreUnavailable):
        await first
    assert await names(second) == ["b"]
    third = await scene.add("c")
    await scene.let(2)
    assert await names(third) == ["c"]


@pytest.mark.anyio
async def test_callers_beyond_the_limit_are_rejected_at_once() -> None:
    scene = Scene(max_callers=2)
    waiting = [await scene.page(), await scene.page()]
    with pytest.raises(StoreUnavailable, match="Too many"):
        await scene.repository.pages([PetQuery()])
    await scene.let(0)
    await scene.let(1)
    assert [(await task).count for task in waiting] == [0, 0]
    again = await scene.page()
    await scene.let(2)
    assert (await again).count == 0


@pytest.mark.anyio
async def test_a_batch_does_not_exceed_its_limit() -> None:
    scene = Scene()
    await scene.remove(1)
    for start in range(0, 30_000, 6_000):
        await scene.remove(*range(start, start + 6_000))
    for call in range(6):
        await scene.let(call)
    assert [len(call) for call in scene.inner.calls if isinstance(call, set)] == [1] + [6_000] * 5
