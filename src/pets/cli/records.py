"""A file of pets as records, each the text of one pet."""

import asyncio
import codecs
import os
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Final, NamedTuple

import anyio

from pets.api.formats import Delimited
from pets.cli.console import failures_of

MAX_RECORD_BYTES: Final = 1024 * 1024

_BLOCK_BYTES: Final = 64 * 1024


class Record(NamedTuple):
    """The text of one pet, and the numbers of its first and last line.

    A record over 1 MiB is cut off somewhere above that.
    """

    text: bytes
    first: int
    last: int


async def read_records(
    source: int, name: str, delimited: Delimited | None
) -> AsyncGenerator[Sequence[Record], None]:
    """Give the records of a file, a block at a time.

    In CSV and TSV a line break within quotes belongs to its value, so a record may have several
    lines. Raises `CommandFailed`, with the name of the file.
    """
    goes_on = delimited and delimited.record_goes_on
    number = first = 0
    unfinished: bytearray | None = None  # the text of a record that goes on in the next line
    async for lines in _lines(_blocks(source, name)):
        records = []
        for line in lines:
            number += 1
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if unfinished is None:
                if goes_on and b'"' in text and goes_on(text, within_quotes=False):
                    first = number
                    unfinished = bytearray(text)
                else:
                    records.append(Record(text, number, number))
                continue
            if len(unfinished) <= MAX_RECORD_BYTES:
                unfinished += b"\n" + text
            if goes_on and not goes_on(text, within_quotes=True):
                records.append(Record(bytes(unfinished), first, number))
                unfinished = None
        yield records
    if unfinished is not None:  # The last quote is never closed.
        yield [Record(bytes(unfinished), first, number)]


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
