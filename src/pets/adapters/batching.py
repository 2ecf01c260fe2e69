"""Many concurrent calls as few: a `PetRepository` around another. It knows no database."""

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
from itertools import islice
from typing import Final, Generic, ParamSpec, TypeVar

from pets.domain.errors import StoreUnavailable
from pets.domain.pet import NewPet, Pet, PetChange
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage, PetRepository

MAX_CALLERS: Final = 1024
MAX_BATCH: Final = 10_000

Item = TypeVar("Item", bound=Collection[object])
Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class _Lane(Generic[Item, Result]):
    """Calls of one kind, one batch at a time.

    A caller that finds the lane idle goes at once and alone, as fast as without a lane. Those that come while a batch
    is under way wait and form the next, so what answers a caller always begins after the caller came.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        on_idle: Callable[[], object] = lambda: None,
    ) -> None:
        self._idle = True
        self._run = run
        self._on_idle = on_idle
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = (
            None  # a reference, without which the loop may forget the task
        )

    async def call(self, item: Item) -> Result:
        if not self._idle:
            future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._waiting.append((item, future))
            return await future
        self._idle = False
        try:
            (result,) = await self._run([item])
        finally:
            if self._waiting:
                self._task = asyncio.create_task(self._serve())
            else:
                self._rest()
        return result

    async def _serve(self) -> None:
        """Run batches until nobody waits; in a task of its own, so that it is cancelled with none of its callers."""
        while batch := self._next_batch():
            try:
                results = await self._run([item for item, _ in batch])
            except (
                StoreUnavailable
            ) as error:  # whose fate is unknown, so it must not be tried again
                for _, future in batch:
                    _settle(future, error)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told to those who asked
                await self._run_apart(batch, error)
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    _settle(future, result)
        self._rest()

    def _rest(self) -> None:
        self._idle = True
        self._on_idle()

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0][0]) <= MAX_BATCH):
            item, future = self._waiting.popleft()
            if not future.cancelled():
                batch.append((item, future))
                size += len(item)
        return batch

    async def _run_apart(
        self, batch: list[tuple[Item, asyncio.Future[Result]]], error: Exception
    ) -> None:
        """Have only those fail for whose sake the batch did. It failed as a whole, so nothing is done twice."""
        for item, future in batch:
            if len(batch) > 1 and not future.cancelled():
                try:
                    (result,) = await self._run([item])
                except Exception as own:  # noqa: BLE001  # as above
                    _settle(future, own)
                else:
                    _settle(future, result)
            _settle(future, error)


def _settle(future: asyncio.Future[Result], outcome: Result | Exception) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


class BatchingPetRepository:
    """Lets callers who come while the inner repository is busy share its next call.

    - Who asks for the same page shares one answer: the very same object.
    - Pets of several callers are added by one call, and each caller gets its own back.
    - Ids of several callers are looked for, or removed, by one call; one that several remove is counted by the first.
    - What is changed or removed only if it is as expected goes alone.

    At most `max_callers` wait or are served at once; beyond it a call raises `StoreUnavailable` immediately. A batch of
    several callers has at most 10,000 pets or ids. One event loop only.
    """

    def __init__(self, inner: PetRepository, *, max_callers: int = MAX_CALLERS) -> None:
        self._inner = inner
        self._max_callers = max_callers
        self._callers = 0
        self._adding = _Lane(self._add)
        self._removing = _Lane(self._remove)
        self._adding_once = _Lane(self._add_once)
        self._finding = _Lane(self._find)
        self._pages: dict[PetQuery, _Lane[tuple[()], PetPage]] = {}

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        return await self._enter(self._adding.call, pets)

    async def add_once(self, pets: Mapping[str, NewPet]) -> Mapping[str, Pet]:
        return await self._enter(self._adding_once.call, pets)

    async def find(self, ids: Collection[int]) -> Mapping[int, Pet]:
        return await self._enter(self._finding.call, ids)

    async def page(self, query: PetQuery) -> PetPage:
        return await self._enter(self._share_page, query)

    async def _share_page(self, query: PetQuery) -> PetPage:
        lane = self._pages.get(query)
        if lane is None:
            lane = self._pages[query] = _Lane(
                lambda callers: self._page(query, len(callers)),
                on_idle=lambda: self._pages.pop(query),
            )
        return await lane.call(())

    def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Pet], None]:
        return self._inner.export(query)

    async def change(
        self, changes: Mapping[int, PetChange], *, expected: Mapping[int, Pet] | None = None
    ) -> Mapping[int, Pet]:
        return await self._enter(self._inner.change, changes, expected=expected)

    async def remove(
        self, ids: Collection[int], *, expected: Mapping[int, Pet] | None = None
    ) -> set[int]:
        if expected is None:
            return await self._enter(self._removing.call, ids)
        return await self._enter(self._inner.remove, ids, expected=expected)

    async def load(
        self, pets: AsyncIterable[Sequence[tuple[int, NewPet | Pet]]], *, skip_taken: bool
    ) -> Sequence[int]:
        return await self._inner.load(pets, skip_taken=skip_taken)

    async def check(self) -> None:
        await self._inner.check()

    async def _enter(
        self,
        call: Callable[Parameters, Awaitable[Result]],
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Result:
        if self._callers >= self._max_callers:
            raise StoreUnavailable("Too many requests are waiting for the store.")
        self._callers += 1
        try:
            return await call(*arguments, **options)
        finally:
            self._callers -= 1

    async def _add(self, sets: Sequence[Sequence[NewPet]]) -> Sequence[Sequence[Pet]]:
        added = iter(await self._inner.add([pet for pets in sets for pet in pets]))
        return [list(islice(added, len(pets))) for pets in sets]

    async def _add_once(self, sets: Sequence[Mapping[str, NewPet]]) -> Sequence[Mapping[str, Pet]]:
        first = {key: pet for pets in reversed(sets) for key, pet in pets.items()}
        added = await self._inner.add_once(first)
        return [{key: added[key] for key in pets} for pets in sets]

    async def _find(self, sets: Sequence[Collection[int]]) -> Sequence[Mapping[int, Pet]]:
        found = await self._inner.find({id_ for ids in sets for id_ in ids})
        return [{id_: found[id_] for id_ in ids if id_ in found} for ids in sets]

    async def _page(self, query: PetQuery, callers: int) -> Sequence[PetPage]:
        return [await self._inner.page(query)] * callers

    async def _remove(self, sets: Sequence[Collection[int]]) -> Sequence[set[int]]:
        removed = await self._inner.remove({id_ for ids in sets for id_ in ids})
        shares = []
        for ids in sets:
            share = removed.intersection(ids)
            removed -= share
            shares.append(share)
        return shares
