"""Many pets into a store in one step, as `pets import` and `pets seed` need it."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from pets.bootstrap.stores import open_store
from pets.cli.console import warnings_said
from pets.domain.repository import Numbered
from pets.settings import Settings


class Refused(Exception):
    """The source of the pets refuses them, so none is added."""


class Loaded(NamedTuple):
    """Whether pets were added, and the numbers of those whose ids were taken."""

    is_done: bool
    taken: Sequence[int]


class _Outcome(Enum):
    """What became of the pets."""

    UNDECIDED = auto()
    ADDED = auto()
    REFUSED = auto()
    INTERRUPTED = auto()
    """None was added, because the call of the store was cancelled."""


@dataclass
class _Load:
    """Adds pets to a store, and knows what became of them when a signal comes."""

    pets: AsyncGenerator[Numbered, None]
    outcome: _Outcome = _Outcome.UNDECIDED
    is_read: bool = False  # Before all pets are read, nothing is committed.
    taken: Sequence[int] = ()  # the numbers of pets whose ids the store already has

    async def run(self, settings: Settings, last_id: Callable[[], int], *, skip: bool) -> None:
        async with open_store(settings) as store, aclosing(self._all_pets()) as pets:
            await store.check()
            try:
                self.taken = await store.load(pets, skip_taken=skip, last_id=last_id)
            except Refused:
                self.outcome = _Outcome.REFUSED
            except asyncio.CancelledError:
                self.outcome = _Outcome.INTERRUPTED
                raise
            else:
                is_refused = self.taken and not skip
                self.outcome = _Outcome.REFUSED if is_refused else _Outcome.ADDED

    async def _all_pets(self) -> AsyncGenerator[Numbered, None]:
        async with aclosing(self.pets):
            async for batch in self.pets:
                yield batch
        self.is_read = True


def load_pets(
    settings: Settings,
    pets: AsyncGenerator[Numbered, None],
    *,
    done: str,
    skip_taken: bool = False,
    last_id: Callable[[], int] = int,
) -> Loaded:
    """Add all pets, or none.

    None is added if the generator raises `Refused`, or if an id is taken, unless `skip_taken`.
    None is added either if this raises `CommandFailed` or `StoreUnavailable`, but for
    `OutcomeUnknown`. `KeyboardInterrupt`, for SIGINT, has what became of the pets as its text, in
    which `done` is the word for "added".
    """
    load = _Load(pets)
    # The garbage collector need not check the program's own objects again and again.
    gc.freeze()
    with warnings_said():
        try:
            asyncio.run(load.run(settings, last_id, skip=skip_taken))
        except KeyboardInterrupt:
            if load.outcome is _Outcome.INTERRUPTED or not load.is_read:
                raise KeyboardInterrupt(f"nothing was {done}") from None
            if load.outcome is _Outcome.UNDECIDED:
                raise KeyboardInterrupt(f"the pets may have been {done}") from None
            # Otherwise the signal came too late.
    return Loaded(load.outcome is _Outcome.ADDED, load.taken)
