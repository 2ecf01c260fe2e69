"""What is wrong with a setup: `pets doctor`."""

import asyncio
from dataclasses import fields
from time import time
from typing import Final

from pets.bootstrap import check_tracing, read_keys
from pets.bootstrap.stores import (
    check_counts,
    check_ids,
    check_store,
    find_name_index,
    find_old_versions,
    look_at_store,
    masked_url,
)
from pets.cli.console import CommandFailed, print_document
from pets.cli.counts import line_of_ids, lines_of
from pets.settings import MEMORY, Settings, unknown_variables, variable_of

MAX_SKEW_SECONDS: Final = 5
"""How much the clocks may differ.

`created_at` of a pet is by the clock of the service. Keys of idempotency expire by the store's.
"""

MAX_SECONDS: Final = 60
"""How long the store may take. Counting reads the whole table."""

MANY_OLD_VERSIONS: Final = 10_000
"""So many old versions of the kept counts slow down listings. PostgreSQL usually removes them."""


def examine(settings: Settings) -> None:
    """Print the settings in force, without passwords, and the state of the store.

    It reads and changes nothing. Raises `CommandFailed`, `StoreUnavailable` or `SettingsError` for
    the first thing that is wrong.
    """
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if setting.name == "database_url":
            value = masked_url(settings)
        _tell(variable_of(setting.name), value)
    for variable, nearest in unknown_variables():
        _tell(variable, f"is not a setting; {nearest} is" if nearest else "is not a setting")
    read_keys(settings)
    check_tracing()
    if settings.database_url != MEMORY:
        asyncio.run(_examine_store(settings))


async def _examine_store(settings: Settings) -> None:
    try:
        async with asyncio.timeout(MAX_SECONDS):
            await _look_at_all(settings)
    except TimeoutError:
        raise CommandFailed(f"the store did not answer within {MAX_SECONDS} seconds") from None


async def _look_at_all(settings: Settings) -> None:
    server = await look_at_store(settings)
    _tell("store", f"{server.name} {server.version}, {server.encoding}")
    if server.encoding not in {"UTF8", "UTF-8"}:
        raise CommandFailed("the database must be in UTF-8")
    ahead = server.clock - time()
    _tell("clock of the store", f"{ahead:+.1f} s")
    if abs(ahead) > MAX_SKEW_SECONDS:
        raise CommandFailed("the clocks of the store and of this machine differ")
    await check_store(settings)
    _tell("schema", "migrated")
    wrong = await check_counts(settings, repair=False)
    if wrong:
        raise CommandFailed(f"counts are wrong: {'; '.join(lines_of(wrong))}")
    _tell("counts", "right")
    behind = await check_ids(settings, repair=False)
    if behind:
        raise CommandFailed(
            f"{line_of_ids(*behind)}; `pets check-counts --repair` moves the sequence"
        )
    _tell("ids", "right")
    names = await find_name_index(settings)
    _tell("index of names", names)
    if names == "broken":
        raise CommandFailed("the index of names is broken; `pets index-names` makes it anew")
    old = await find_old_versions(settings)
    if old.number > MANY_OLD_VERSIONS:
        seen_by = old.seen_by or "a transaction that this role cannot see"
        _tell("old versions of counts", f"{old.number:,}, which slow down listings: {seen_by}")


def _tell(name: str, value: object) -> None:
    print_document(f"{name:<22} {value or '-'}")
