"""Finishing a commit even when the call that makes it is cancelled."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress


async def finish(commit: Awaitable[object]) -> None:
    """Wait for the commit even if cancelled, because it must not be reported as not done."""
    task = asyncio.ensure_future(commit)
    with suppress(asyncio.CancelledError):
        await asyncio.shield(task)
    await task
