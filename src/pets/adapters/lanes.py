"""Lanes: calls of one kind that wait together, and are then served together."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from contextvars import Context
from itertools import islice
from typing import Final, Generic, TypeVar

from pets.domain.errors import OutcomeUnknown, StoreUnavailable

MAX_ANSWERS: Final = 64
"""How many callers of a batch are answered in one turn of the event loop."""

Item = TypeVar("Item", bound=Hashable)
Result = TypeVar("Result")
Answer = tuple[asyncio.Future[Result], Result | Exception]


class _Call(Generic[Item, Result]):
    """Work that waits, and everyone who waits for its result."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.callers: list[asyncio.Future[Result]] = []

    def is_wanted(self) -> bool:
        return not all(caller.cancelled() for caller in self.callers)


class Lane(Generic[Item, Result]):
    """Calls of one kind, in batches of `max_size` at most, or of one call that is larger.

    `width` batches may run at once. A caller that finds the lane free goes at once and alone, as
    fast as without a lane. Callers that come later wait and form the next batches, so none gets
    an older answer. If the lane `shares`, those that wait with equal items share a result.
    A batch takes at most `seconds`.
    """

    def __init__(  # noqa: PLR0913  # Each argument tells how one lane differs from another.
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        size: Callable[[Item], int],
        max_size: int,
        *,
        width: int = 1,
        shares: bool = False,
        seconds: float | None = None,
    ) -> None:
        self._run = run
        self._size = size
        self._max_size = max_size
        self._width = width
        self._shares = shares
        self._seconds = seconds
        self._running = 0
        self._waiting: dict[Hashable, _Call[Item, Result]] = {}  # the first in front
        self._waiting_size = 0
        # Without a reference, the loop may forget the tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    def has_room(self) -> bool:
        """Whether less than two batches wait for each that may run."""
        return self._waiting_size < 2 * self._width * self._max_size

    async def call(self, item: Item) -> Result:
        if self._running >= self._width:
            return await self._wait(item)
        self._running += 1
        try:
            (result,) = await self._run([item])
        finally:
            if self._waiting:
                # No caller's cancellation reaches a task of its own.
                # And what it logs is not about this caller's request.
                serving = self._serve_waiting()
                task = asyncio.get_running_loop().create_task(serving, context=Context())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._running -= 1
        return result

    async def _wait(self, item: Item) -> Result:
        caller: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        key = item if self._shares else caller
        call = self._waiting.get(key)
        if call is None:
            call = _Call(item)
            self._waiting[key] = call
            self._waiting_size += self._size(item)
        call.callers.append(caller)
        try:
            return await caller
        except asyncio.CancelledError:
            if self._waiting.get(key) is call:
                # Whoever cancelled the caller learns that nothing was done.
                raise StoreUnavailable("The store was too busy to begin this in time.") from None
            raise

    async def _serve_waiting(self) -> None:
        while batch := self._next_batch():
            await self._serve(batch)
        self._running -= 1

    def _next_batch(self) -> list[_Call[Item, Result]]:
        batch: list[_Call[Item, Result]] = []
        room = self._max_size
        while self._waiting:
            key = next(iter(self._waiting))
            call = self._waiting[key]
            size = self._size(call.item)
            if batch and size > room:
                break
            del self._waiting[key]
            self._waiting_size -= size
            if call.is_wanted():
                batch.append(call)
                room -= size
        return batch

    async def _serve(self, batch: Sequence[_Call[Item, Result]]) -> None:
        try:
            # Nobody cancels a batch, because each of its callers is cancelled alone.
            async with asyncio.timeout(self._seconds):
                results = await self._run([call.item for call in batch])
        except TimeoutError:
            # Only reads are shared, and a read changes nothing.
            unavailable = StoreUnavailable if self._shares else OutcomeUnknown
            error = unavailable("The store did not answer in time.")
            _hand_out(_answers(batch, [error] * len(batch)))
        except Exception as error:  # noqa: BLE001  # The callers get it, whatever it is.
            await self._fail(batch, error)
        else:
            _hand_out(_answers(batch, results))

    async def _fail(self, batch: Sequence[_Call[Item, Result]], error: Exception) -> None:
        # If the store is unavailable, each call alone would fail, or wait as long. And if the
        # outcome is unknown, the calls must not be repeated.
        if len(batch) == 1 or isinstance(error, StoreUnavailable):
            _hand_out(_answers(batch, [error] * len(batch)))
        else:
            # Retry each call alone, so that a bad one fails only its own callers.
            # Nothing is done twice, because the batch failed as a whole.
            for call in batch:
                if call.is_wanted():
                    await self._serve([call])


def _answers(
    batch: Sequence[_Call[Item, Result]], results: Sequence[Result | Exception]
) -> Iterator[Answer[Result]]:
    for call, result in zip(batch, results, strict=True):
        for caller in call.callers:
            yield caller, result


def _hand_out(answers: Iterator[Answer[Result]]) -> None:
    """Give callers their answers. Thousands at once would keep the event loop from all else."""
    given = 0
    for caller, result in islice(answers, MAX_ANSWERS):
        given += 1
        if caller.cancelled():
            continue
        if isinstance(result, Exception):
            caller.set_exception(result)
        else:
            caller.set_result(result)
    if given == MAX_ANSWERS:
        asyncio.get_running_loop().call_soon(_hand_out, answers)
