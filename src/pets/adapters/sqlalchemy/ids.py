"""Checking and repairing the sequence of ids."""

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.failures import owners_alone, translated
from pets.adapters.sqlalchemy.repository import CommandSession, command_session_of


class IdsBehind(NamedTuple):
    """A sequence that would give ids again, as after a copy of the pets without the sequence."""

    given: int
    """The last id that the sequence has given, or 0."""
    highest: int
    """The highest id of a pet."""


async def check_ids(engine: AsyncEngine) -> IdsBehind | None:
    """Return None if the sequence is not behind, or the user may not read it.

    Raises `StoreUnavailable`.
    """
    async with translated, command_session_of(engine) as session:
        return await _look(session)


async def repair_ids(engine: AsyncEngine) -> IdsBehind | None:
    """Move the sequence beyond the ids of all pets, and return what it was. Writers wait meanwhile.

    Raises `StoreUnavailable`, also if the user is not the owner of the tables.
    """
    async with translated, command_session_of(engine) as session:
        if not await _look(session):
            return None
        with owners_alone("Only the owner of the tables can repair the sequence of ids."):
            async with session.without_writers():
                behind = await _look(session)
                if behind:
                    await session.raise_ids(behind.highest)
                return behind


async def _look(session: CommandSession) -> IdsBehind | None:
    given, highest = await session.ids()
    return IdsBehind(given, highest) if given is not None and given < highest else None
