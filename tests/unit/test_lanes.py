"""Lanes: how many batches run at once, what a batch holds, and when a lane has room."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from pets.adapters.lanes import Lane
from pets.domain.errors import StoreUnavailable

MAX_SIZE = 10


class Scene:
    """Callers of a lane, whose items are texts. The size of an item is its length."""

    def __init__(self, width: int = 1) -> None:
        self.lane = Lane(self._run, len, MAX_SIZE, width=width)
        self.batches: list[list[int]] = []
        """The sizes of the items of each batch."""
        self.callers: list[asyncio.Task[str]] = []
        # The lane alone must keep a batch alive, so a test can only know it weakly.
        self._ends: list[weakref.ref[asyncio.Future[None]]] = []

    async def _run(self, items: Sequence[str]) -> Sequence[str]:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.batches.append([len(item) for item in items])
        self._ends.append(weakref.ref(end))
        await end
        return items

    async def call(self, *sizes: int) -> None:
        """Let callers come with items of these sizes."""
        for size in sizes:
            self.callers.append(asyncio.create_task(self.lane.call("x" * size)))
            await asyncio.sleep(0)

    async def end_next(self) -> None:
        """End the oldest batch, and let the other tasks run until each waits for the test."""
        end = self._ends.pop(0)()
        assert end, "Nobody waits for this batch any more."
        end.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)

    async def end_all(self) -> None:
        """End each batch that runs, and those that begin then."""
        while self._ends:
            await self.end_next()
        await asyncio.gather(*self.callers)


async def fill(scene: Scene, width: int) -> None:
    """Let callers come until the lane has no room. The last of them has an item of size 1."""
    await scene.call(*[1] * width)
    await scene.call(2 * width * MAX_SIZE - 1)
    assert scene.lane.has_room()
    await scene.call(1)
    assert not scene.lane.has_room()


@pytest.mark.anyio
@pytest.mark.parametrize("width", [1, 2, 5])
async def test_a_lane_has_room_until_two_batches_wait_for_each_that_runs(width: int) -> None:
    scene = Scene(width)
    await fill(scene, width)
    await scene.end_all()
    await fill(scene, width)
    await scene.end_all()


@pytest.mark.anyio
@pytest.mark.parametrize("width", [1, 2, 5])
async def test_only_so_many_batches_run_at_once_however_often_they_end(width: int) -> None:
    scene = Scene(width)
    for callers in (1, width, width + 1, 3 * width):
        began = len(scene.batches)
        await scene.call(*[MAX_SIZE] * callers)
        assert len(scene.batches) == began + min(callers, width)
        await scene.end_all()
        assert len(scene.batches) == began + callers


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("waiting", "batches"),
    [
        ([4, 6, 1], [[4, 6], [1]]),
        ([4, 7, 3], [[4], [7, 3]]),
        ([1] * 21, [[1] * 10, [1] * 10, [1]]),
        ([3, 25, 3], [[3], [25], [3]]),
        ([25, 25], [[25], [25]]),
        ([0, 10, 0], [[0, 10, 0]]),
    ],
)
async def test_a_batch_takes_the_next_callers_until_it_is_full(
    waiting: list[int], batches: list[list[int]]
) -> None:
    scene = Scene()
    await scene.call(1, *waiting)
    await scene.end_all()
    assert scene.batches == [[1], *batches]


@pytest.mark.anyio
async def test_a_caller_that_stops_waiting_learns_that_nothing_was_done() -> None:
    scene = Scene()
    await scene.call(1, 1)
    scene.callers[1].cancel()
    with pytest.raises(StoreUnavailable) as caught:
        await scene.callers[1]
    assert str(caught.value) == "The store was too busy to begin this in time."
    scene.callers.pop()
    await scene.end_all()


@pytest.mark.anyio
async def test_a_batch_is_kept_alive_by_its_lane_alone() -> None:
    """The event loop knows its tasks only weakly."""
    scene = Scene()
    await scene.call(1, 1)
    await scene.end_next()
    gc.collect()
    await scene.end_next()
    assert await scene.callers[1] == "x"


@pytest.mark.anyio
async def test_a_batch_knows_nothing_of_the_caller_that_began_it() -> None:
    """Otherwise it would log another caller's failure with the id of that request."""
    request: ContextVar[str] = ContextVar("request", default="none")
    seen = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        seen.append(request.get())
        return items

    async def call(lane: Lane[int, int], number: int) -> None:
        request.set(str(number))
        await lane.call(number)

    lane: Lane[int, int] = Lane(run, lambda _: 1, 10)
    await asyncio.gather(call(lane, 1), call(lane, 2))
    assert seen == ["1", "none"]
