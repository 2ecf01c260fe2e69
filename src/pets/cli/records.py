"""The records of a file of pets."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Final

import anyio

from pets.api.records import MAX_RECORD_BYTES, Record, Records
from pets.cli.console import failures_of

_BLOCK_BYTES: Final = 64 * 1024


async def read_records(
    source: int, name: str, records: Records
) -> AsyncGenerator[Sequence[Record], None]:
    """Give the records of a file, a block at a time. Raises `CommandFailed`, with its name."""
    async for lines in _lines(_blocks(source, name)):
        yield [*records.of(lines)]
    yield [*records.rest()]


async def _lines(blocks: AsyncIterable[bytes]) -> AsyncGenerator[Sequence[bytes], None]:
    """Give the lines that end in each block, and last the line that ends with the file."""
    rest = b""
    async for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        rest = rest[: MAX_RECORD_BYTES + 1]  # One byte more shows that the line is too long.
        yield lines
    yield [rest]


async def _blocks(source: int, name: str) -> AsyncGenerator[bytes, None]:
    """Give the content of a file, as much as can be read at a time."""
    while True:
        with failures_of(name):
            await _wait_until_readable(source)
            block = os.read(source, _BLOCK_BYTES)
        if not block:
            return
        yield block


async def _wait_until_readable(source: int) -> None:
    """Wait until a read will not block, because a blocking read could not be cancelled."""
    try:
        await anyio.wait_readable(source)
    except PermissionError:  # A regular file cannot be waited for, and never blocks.
        await asyncio.sleep(0)
