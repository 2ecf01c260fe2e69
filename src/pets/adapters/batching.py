"""A repository that turns many concurrent calls into few calls of another repository."""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from functools import partial
from itertools import chain, islice
from typing import Final, Generic, TypeVar

from pets.adapters.gate import Gate
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.query import PetQuery
from pets.domain.repository import Numbered, PetPage, PetRepository

MAX_BATCH: Final = 10_000  # pets or ids of all calls in a batch; a single call may have more

Item = TypeVar("Item", bound=Collection[object])
Result = TypeVar("Result")
Key = TypeVar("Key")


class _Call(Generic[Item, Result]):
    """A call that waits for its result."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def succeed(self, result: Result) -> None:
        if not self.future.cancelled():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.future.cancelled():
            self.future.set_exception(error)


class _Lane(Generic[Item, Result]):
    """Calls of one kind, one batch at a time.

    A caller that finds the lane idle goes at once and alone, as fast as without a lane.
    Callers that come during a batch wait and form the next one, so none gets an older answer.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        on_idle: Callable[[], object] = lambda: None,
    ) -> None:
        self._is_idle = True
        self._run = run
        self._on_idle = on_idle
        self._waiting: deque[_Call[Item, Result]] = deque()
        # Without a reference, the loop may forget the task.
        self._task: asyncio.Task[None] | None = None

    async def call(self, item: Item) -> Result:
        if not self._is_idle:
            call: _Call[Item, Result] = _Call(item)
            self._waiting.append(call)
            return await call.future
        self._is_idle = False
        try:
            (result,) = await self._run([item])
        finally:
            if self._waiting:
                # No caller's cancellation reaches a task of its own.
                self._task = asyncio.create_task(self._serve_waiting())
            else:
                self._rest()
        return result

    async def _serve_waiting(self) -> None:
        while batch := self._next_batch():
            await self._serve(batch)
        self._rest()

    def _rest(self) -> None:
        self._is_idle = True
        self._on_idle()

    def _next_batch(self) -> list[_Call[Item, Result]]:
        batch: list[_Call[Item, Result]] = []
        size = 0
        while self._waiting:
            size += len(self._waiting[0].item)
            if batch and size > MAX_BATCH:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _serve(self, batch: Sequence[_Call[Item, Result]]) -> None:
        calls = [call for call in batch if not call.future.cancelled()]
        if not calls:
            return
        try:
            results = await self._run([call.item for call in calls])
        except Exception as error:  # noqa: BLE001  # The callers get it, whatever it is.
            await self._fail(calls, error)
        else:
            for call, result in zip(calls, results, strict=True):
                call.succeed(result)

    async def _fail(self, calls: Sequence[_Call[Item, Result]], error: Exception) -> None:
        # After `StoreUnavailable` the outcome is unknown, so the calls must not be repeated.
        if len(calls) == 1 or isinstance(error, StoreUnavailable):
            for call in calls:
                call.fail(error)
        else:
            # Retry each call alone, so that a bad one fails only its own caller.
            # Nothing is done twice, because the batch failed as a whole.
            for call in calls:
                await self._serve([call])


class BatchingPetRepository:
    """Callers of one event loop share the calls of the inner repository while it is busy.

    - Callers that ask for the same page get the very same object.
    - The pets of several callers are added by one call, and each caller gets its own back.
    - The ids of several callers are found, or removed, by one call. If several callers remove one
      id, the first of them gets it back.
    - Changes, and removals with `expected`, are not shared.

    At most `max_callers` are inside at once, and others get `StoreUnavailable` immediately.
    """

    def __init__(self, inner: PetRepository, *, max_callers: int = 1024) -> None:
        self._inner = inner
        self._gate = Gate(max_callers, "Too many requests are waiting for the store.")
        self._adding = _Lane(self._add)
        self._removing = _Lane(self._remove)
        self._adding_once = _Lane(self._add_once)
        self._finding = _Lane(self._find)
        self._pages: dict[PetQuery, _Lane[tuple[()], PetPage]] = {}

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        with self._gate:
            return await self._adding.call(pets)

    async def add_once(self, pets: Mapping[str, NewPet]) -> Mapping[str, Pet]:
        with self._gate:
            return await self._adding_once.call(pets)

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        with self._gate:
            return await self._finding.call(ids)

    async def pages(self, queries: Sequence[PetQuery]) -> Sequence[PetPage]:
        with self._gate:
            return [await self._shared_page(query) for query in queries]

    async def _shared_page(self, query: PetQuery) -> PetPage:
        lane = self._pages.get(query)
        if lane is None:
            lane = _Lane(partial(self._page, query), on_idle=partial(self._pages.pop, query))
            self._pages[query] = lane
        return await lane.call(())

    def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        return self._inner.export(query)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        with self._gate:
            return await self._inner.change(changes, expected=expected)

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        with self._gate:
            if expected is None:
                return await self._removing.call(ids)
            return await self._inner.remove(ids, expected=expected)

    async def load(self, pets: AsyncIterable[Numbered], *, skip_taken: bool) -> Sequence[int]:
        return await self._inner.load(pets, skip_taken=skip_taken)

    async def check(self) -> None:
        await self._inner.check()

    async def _add(self, sets: Sequence[Sequence[NewPet]]) -> Sequence[Sequence[Pet]]:
        pets = list(chain.from_iterable(sets))
        added = iter(await self._inner.add(pets))
        return [list(islice(added, len(part))) for part in sets]

    async def _add_once(self, sets: Sequence[Mapping[str, NewPet]]) -> Sequence[Mapping[str, Pet]]:
        pets: dict[str, NewPet] = {}
        for part in sets:
            for key, pet in part.items():
                pets.setdefault(key, pet)
        added = await self._inner.add_once(pets)
        return [_chosen(added, part) for part in sets]

    async def _find(self, sets: Sequence[Collection[int]]) -> Sequence[Mapping[int, Pet]]:
        pets = await self._inner.find(set().union(*sets))
        return [_chosen(pets, part) for part in sets]

    async def _page(self, query: PetQuery, callers: Sequence[tuple[()]]) -> Sequence[PetPage]:
        (page,) = await self._inner.pages([query])
        return [page] * len(callers)

    async def _remove(self, sets: Sequence[Collection[int]]) -> Sequence[set[int]]:
        removed = await self._inner.remove(set().union(*sets))
        parts = []
        for ids in sets:
            part = removed.intersection(ids)
            removed -= part
            parts.append(part)
        return parts


def _chosen(pets: Mapping[Key, Pet], keys: Collection[Key]) -> dict[Key, Pet]:
    return {key: pets[key] for key in keys if key in pets}
