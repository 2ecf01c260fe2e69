"""Batching over an inner repository that is slow or fails, for callers that may be cancelled."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, TypeVar, cast

import pytest

from pets.adapters.batching import (
    MAX_ALONE,
    MAX_ROWS,
    MAX_SEARCHES,
    MAX_SHORT_LIMIT,
    ROWS_OF_A_QUERY,
    BatchingPetRepository,
)
from pets.adapters.lanes import MAX_ANSWERS
from pets.adapters.memory import InMemoryPetRepository
from pets.domain.errors import OutcomeUnknown, StoreUnavailable
from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.query import PetQuery
from pets.domain.repository import AddedOnce, PetPage
from pets.domain.statistics import Counts
from tests.factories import NewPetFactory
from tests.port_contract import PetRepositoryContract, page_of

Result = TypeVar("Result")


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
        await self._gate([query.limit for query in queries])
        return await super().pages(queries)

    async def counts(self) -> Counts:
        await self._gate("counts")
        return await super().counts()

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        await self._gate(set(ids))
        return await super().find(ids)

    async def add_once(self, sets: Mapping[str, Sequence[NewPet]]) -> Mapping[str, AddedOnce]:
        await self._gate(list(sets))
        return await super().add_once(sets)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        await self._gate(list(changes))
        return await super().change(changes, expected=expected)

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        await self._gate(set(ids))
        return await super().remove(ids, expected=expected)


class Scene:
    """Callers of a batching repository and the calls of its inner one, one step at a time."""

    def __init__(self, seconds: float | None = None) -> None:
        self.inner = GatedRepository()
        self.repository = BatchingPetRepository(self.inner, seconds)
        self.tasks: list[asyncio.Task[Any]] = []  # Any: each has a result of its own type

    async def page(self, limit: int = 20, name: str | None = None) -> asyncio.Task[PetPage]:
        return await self._call(page_of(self.repository, PetQuery(limit=limit, name=name)))

    async def add(self, *names: str) -> asyncio.Task[Sequence[Pet]]:
        pets = [NewPetFactory.build(name=name) for name in names]
        return await self._call(self.repository.add(pets))

    async def change(
        self, id_: int, age: int, expected: Pet | None = None
    ) -> asyncio.Task[Mapping[int, Pet]]:
        wanted = None if expected is None else {id_: expected}
        return await self._call(self.repository.change({id_: PetChange(age=age)}, expected=wanted))

    async def remove(self, *ids: int) -> asyncio.Task[set[int]]:
        return await self._call(self.repository.remove(ids))

    async def _call(self, call: Coroutine[None, None, Result]) -> asyncio.Task[Result]:
        task = self.start(call)
        await self.settle()
        return task

    def start(self, call: Coroutine[None, None, Result]) -> asyncio.Task[Result]:
        """Let a caller come. It has not reached the repository yet."""
        task = asyncio.ensure_future(call)
        self.tasks.append(task)
        return task

    async def remove_if(self, pet: Pet) -> asyncio.Task[set[int]]:
        """Remove the pet if it is still as given."""
        task = self.start(self.repository.remove([pet.id], expected={pet.id: pet}))
        await self.settle()
        return task

    async def begin(self, lane: str, number: int) -> None:
        """Begin a call that shares no answer with another one."""
        new = NewPetFactory.build()
        calls: dict[str, Callable[[], Coroutine[None, None, object]]] = {
            "add": lambda: self.repository.add([new]),
            "add_once": lambda: self.repository.add_once({str(number): [new]}),
            "find": lambda: self.repository.find([number]),
            "change": lambda: self.repository.change({number: PetChange(age=1)}),
            "remove": lambda: self.repository.remove([number]),
            "pages": lambda: self.repository.pages(
                [PetQuery(age_min=number % 101, limit=number % 100)]
            ),
        }
        self.start(calls[lane]())
        await asyncio.sleep(0)

    async def let(self, call: int, error: Exception | None = None) -> None:
        """Let this call of the inner repository proceed, or fail with the error."""
        if error:
            self.inner.outcomes[call].set_exception(error)
        else:
            self.inner.outcomes[call].set_result(None)
        await self.settle()

    async def end(self) -> None:
        """Let all calls of the inner repository proceed, until every caller has its answer."""
        for outcome in self.inner.outcomes:  # Those of later batches come while this runs.
            if not outcome.done():
                outcome.set_result(None)
            await self.settle()
        await asyncio.gather(*self.tasks, return_exceptions=True)

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
    assert scene.inner.calls == [[20]]
    await scene.end()


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
    assert scene.inner.calls == [[20], [20]]
    answers = [await task for task in late]
    assert [pet.id for pet in answers[0].items] == [2]
    assert all(answer is answers[0] for answer in answers)
    assert await early is not answers[0]


@pytest.mark.anyio
async def test_those_who_wait_for_the_counts_share_them() -> None:
    scene = Scene()
    callers = [scene.start(scene.repository.counts()) for _ in range(4)]
    await scene.settle()
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == ["counts", "counts"]
    early, *late = [await caller for caller in callers]
    assert all(counts is late[0] for counts in late)
    assert early is not late[0]


@pytest.mark.anyio
async def test_one_call_serves_readers_of_different_pages() -> None:
    scene = Scene()
    await scene.page(20)
    pages = [await scene.page(limit) for limit in (2, 1, 2)]
    await InMemoryPetRepository.add(scene.inner, NewPetFactory.batch(3))
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == [[20], [2, 1]]
    assert [len((await page).items) for page in pages] == [2, 1, 2]


@pytest.mark.anyio
async def test_one_call_changes_the_pets_of_several_callers() -> None:
    scene = Scene()
    old = await InMemoryPetRepository.add(scene.inner, NewPetFactory.batch(3))
    first = await scene.change(1, age=1)
    second = await scene.change(2, age=2, expected=old[1])
    third = await scene.change(3, age=3, expected=old[1])
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == [[1], [2, 3]]
    assert [pet.age for task in (first, second) for pet in (await task).values()] == [1, 2]
    assert await third == {}


@pytest.mark.anyio
async def test_one_call_never_changes_a_pet_twice() -> None:
    """A call has one change for each pet. Another caller's change must not replace it."""
    scene = Scene()
    await InMemoryPetRepository.add(scene.inner, NewPetFactory.batch(2))
    await scene.change(1, age=1)
    await scene.change(2, age=2)
    await scene.change(2, age=3)
    assert scene.inner.calls == [[1], [2]]
    await scene.end()


@pytest.mark.anyio
async def test_a_change_that_is_not_shared_keeps_its_condition() -> None:
    scene = Scene()
    (old,) = await InMemoryPetRepository.add(scene.inner, [NewPetFactory.build(age=7)])
    first = await scene.change(1, age=1, expected=old)
    second = await scene.change(1, age=2, expected=old)
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == [[1], [1]]
    assert [pet.age for pet in (await first).values()] == [1]
    assert await second == {}


@pytest.mark.anyio
async def test_calls_that_are_not_shared_go_one_after_the_other() -> None:
    """Each may wait for a lock, and would keep a connection from others meanwhile."""
    scene = Scene()
    pets = await InMemoryPetRepository.add(scene.inner, NewPetFactory.batch(3))
    for age in range(4):
        await scene.change(1, age=age)
    for pet in pets[1:]:
        await scene.remove_if(pet)
    assert scene.inner.calls == [[1], [1], {2}]
    for call in range(6):
        await scene.let(call)
    assert scene.inner.calls == [[1], [1], {2}, [1], {3}, [1]]


@pytest.mark.anyio
async def test_a_short_page_never_waits_for_long_ones() -> None:
    scene = Scene()
    await scene.page(1000)
    await scene.page(MAX_SHORT_LIMIT + 1)
    await scene.page(MAX_SHORT_LIMIT)
    assert scene.inner.calls == [[1000], [MAX_SHORT_LIMIT]]
    await scene.end()


@pytest.mark.anyio
async def test_only_a_few_searches_run_at_once_and_alone() -> None:
    scene = Scene()
    searches = [await scene.page(number, "a") for number in range(MAX_SEARCHES + 3)]
    await scene.page(20)
    expected = [[number] for number in range(MAX_SEARCHES)] + [[20]]
    assert scene.inner.calls == expected
    await scene.let(2)
    assert scene.inner.calls == [*expected, [MAX_SEARCHES]]
    await scene.end()
    assert [(await search).count for search in searches] == [0] * len(searches)


@pytest.mark.anyio
async def test_a_query_of_ids_does_not_wait_for_searches() -> None:
    scene = Scene()
    for number in range(MAX_SEARCHES + 1):
        await scene.page(number, "a")
    query = PetQuery(limit=20, ids=frozenset({1}), name="a")
    found = scene.start(page_of(scene.repository, query))
    await scene.settle()
    assert scene.inner.calls[MAX_SEARCHES:] == [[20]]
    await scene.end()
    assert (await found).count == 0


@pytest.mark.anyio
async def test_a_query_counts_as_rows_for_its_ids() -> None:
    """Otherwise a batch could read hundreds of thousands of pets."""
    scene = Scene()
    await scene.page(0)
    for number in range(10):
        ids = frozenset(range(1, 1001 + number))
        scene.start(page_of(scene.repository, PetQuery(limit=number, ids=ids)))
    await scene.settle()
    await scene.end()
    assert max(len(cast("list[int]", call)) for call in scene.inner.calls) == 2


@pytest.mark.anyio
async def test_waiting_searches_for_the_same_share_an_answer() -> None:
    scene = Scene()
    running = [await scene.page(number, "a") for number in range(MAX_SEARCHES)]
    sharing = [await scene.page(0, "a") for _ in range(3)]
    for call in range(MAX_SEARCHES + 1):
        await scene.let(call)
    assert len(scene.inner.calls) == MAX_SEARCHES + 1
    assert await sharing[0] is await sharing[2]
    assert await sharing[0] is not await running[0]


@pytest.mark.anyio
async def test_a_batch_of_pages_is_limited_by_its_rows() -> None:
    """The limits are distinct, because a page that several callers ask for counts once."""
    scene = Scene()
    await scene.page(0)
    for limit in range(1, 101):
        await scene.page(limit)
        await scene.page(limit)
    for call in range(10):
        if call < len(scene.inner.outcomes):
            await scene.let(call)
    calls = cast("list[list[int]]", scene.inner.calls)
    assert [*chain.from_iterable(calls[1:])] == [*range(1, 101)]
    for limits in calls:
        assert sum(limits) + ROWS_OF_A_QUERY * len(limits) <= MAX_ROWS
    assert len(calls) == 4


@pytest.mark.anyio
async def test_thousands_of_callers_are_answered_in_slices() -> None:
    """The event loop has turns for other work in between."""
    scene = Scene()
    await scene.page()
    tasks = [scene.start(page_of(scene.repository, PetQuery())) for _ in range(1000)]
    await scene.let(0)
    scene.inner.outcomes[1].set_result(None)
    answered = [0]
    while answered[-1] < len(tasks):
        await asyncio.sleep(0)
        answered.append(sum(task.done() for task in tasks))
    steps = [later - earlier for earlier, later in pairwise(answered)]
    assert max(steps) == MAX_ANSWERS


@pytest.mark.anyio
async def test_the_next_batch_begins_before_all_are_answered() -> None:
    """Otherwise the store would be idle while the answers are sent."""
    scene = Scene()
    await scene.page()
    tasks = [scene.start(page_of(scene.repository, PetQuery())) for _ in range(1000)]
    await scene.let(0)
    await scene.page(10)
    await scene.let(1)
    assert len(scene.inner.calls) == 3
    assert sum(task.done() for task in tasks) < len(tasks)
    await scene.let(2)
    await asyncio.gather(*tasks)


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
    """The caller learns that nothing was done for it."""
    scene = Scene()
    await scene.add("a")
    cancelled, other = await scene.add("b"), await scene.add("c")
    cancelled.cancel()
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == [["a"], ["c"]]
    assert await names(other) == ["c"]
    with pytest.raises(StoreUnavailable):
        await cancelled


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
async def test_a_page_that_nobody_waits_for_is_not_asked_for() -> None:
    scene = Scene()
    first, second = await scene.page(), await scene.page(10)
    second.cancel()
    await scene.let(0)
    await first
    with pytest.raises(StoreUnavailable):
        await second
    assert scene.inner.calls == [[20]]
    await scene.page(10)
    assert scene.inner.calls == [[20], [10]]
    await scene.end()


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
async def test_a_batch_that_takes_too_long_ends_and_the_next_callers_are_served() -> None:
    scene = Scene(seconds=0.01)
    await scene.add("a")
    changing = await scene.add("b")
    await scene.let(0)
    with pytest.raises(OutcomeUnknown):
        await changing
    await scene.add("c")
    assert scene.inner.calls == [["a"], ["b"], ["c"]]
    await scene.end()


@pytest.mark.anyio
async def test_a_batch_of_reads_that_takes_too_long_has_changed_nothing() -> None:
    scene = Scene(seconds=0.01)
    await scene.page()
    reading = await scene.page()
    await scene.let(0)
    with pytest.raises(StoreUnavailable) as caught:
        await reading
    assert not isinstance(caught.value, OutcomeUnknown)


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
async def test_callers_who_share_an_answer_take_no_room() -> None:
    scene = Scene()
    for _ in range(3000):
        scene.start(page_of(scene.repository, PetQuery()))
        scene.start(scene.repository.find([1]))
    await scene.settle()
    assert scene.repository.has_room_for_reads()
    await scene.end()


@pytest.mark.anyio
@pytest.mark.parametrize("lane", ["add", "add_once", "find", "change", "remove", "pages"])
async def test_distinct_work_takes_room_of_its_kind_until_its_batch_begins(lane: str) -> None:
    scene = Scene()
    has_room = scene.repository.has_room_for_writes
    has_other_room = scene.repository.has_room_for_reads
    if lane in {"find", "pages"}:
        has_room, has_other_room = has_other_room, has_room
    waiting = 0
    while has_room():
        waiting += 1
        assert waiting < 5000
        await scene.begin(lane, waiting)
    assert has_other_room()
    call = 0
    while not has_room():
        await scene.let(call)
        call += 1
    assert call <= 2
    await scene.end()


@pytest.mark.anyio
async def test_waiting_readers_of_one_long_page_share_an_answer() -> None:
    scene = Scene()
    await scene.page(1000)
    pages = [await scene.page(500) for _ in range(2)]
    await scene.let(0)
    await scene.let(1)
    assert scene.inner.calls == [[1000], [500]]
    assert await pages[0] is await pages[1]


@pytest.mark.anyio
@pytest.mark.parametrize(("first_limit", "name"), [(1000, None), (0, "a")])
async def test_expensive_pages_take_no_room_of_cheap_ones(
    first_limit: int, name: str | None
) -> None:
    scene = Scene()
    for number in range(200):
        await scene.page(first_limit + number, name)
    assert scene.repository.has_room_for_reads()
    assert not scene.repository.has_room_for_expensive_reads()
    await scene.end()


@pytest.mark.anyio
async def test_two_searches_may_wait_for_each_that_runs() -> None:
    scene = Scene()
    for number in range(3 * MAX_SEARCHES):
        assert scene.repository.has_room_for_expensive_reads()
        await scene.page(number, "a")
    assert not scene.repository.has_room_for_expensive_reads()
    await scene.end()


@pytest.mark.anyio
async def test_calls_that_cannot_be_shared_take_room_until_they_end() -> None:
    scene = Scene()
    (pet,) = await InMemoryPetRepository.add(scene.inner, [NewPetFactory.build()])

    async def fill(calls: int) -> None:
        for _ in range(calls):
            assert scene.repository.has_room_for_writes()
            scene.start(scene.repository.remove([pet.id], expected={pet.id: pet}))
            await asyncio.sleep(0)
        assert not scene.repository.has_room_for_writes()

    await fill(MAX_ALONE)
    await scene.let(0)
    await fill(1)
    for call in range(1, MAX_ALONE + 1):
        await scene.let(call)
    await fill(MAX_ALONE)
    await scene.end()


@pytest.mark.anyio
async def test_a_batch_does_not_exceed_its_limit() -> None:
    scene = Scene()
    await scene.remove(1)
    for start in range(0, 30_000, 6_000):
        await scene.remove(*range(start, start + 6_000))
    for call in range(6):
        await scene.let(call)
    assert [len(call) for call in scene.inner.calls if isinstance(call, set)] == [1] + [6_000] * 5
