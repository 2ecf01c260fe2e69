"""The index of the parts of names: `pets index-names`."""

import asyncio

from pets.bootstrap.stores import drop_name_index, make_name_index
from pets.cli.console import say
from pets.settings import Settings


def index_names(settings: Settings) -> None:
    """Make the index, and say how far it is at each step of 10 %.

    Raises `SettingsError`, and `StoreUnavailable`.
    """
    last = ""

    def show(phase: str, done: int, total: int) -> None:
        nonlocal last
        now = f"{phase}: {10 * (10 * done // total)} %" if total else phase
        if now != last:
            say(now)
            last = now

    asyncio.run(make_name_index(settings, show))
    say("names are indexed")


def remove_index(settings: Settings) -> None:
    """Remove the index if there is one. Raises as `index_names`."""
    asyncio.run(drop_name_index(settings))
    say("names are not indexed")
