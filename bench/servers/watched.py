"""`pets serve`, whose worker writes down how long its event loop was silent.

Each silence that is longer than all before becomes a line of the file SILENCES, in seconds.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from socket import socket
from typing import Final

from pets.cli.main import main
from pets.serving.worker import Worker

_TICK_SECONDS: Final = 0.005
_start = Worker.startup


async def _startup(self: Worker, sockets: list[socket] | None = None) -> None:
    await _start(self, sockets)
    loop = asyncio.get_running_loop()
    _tick(loop, time.monotonic(), 0)


def _tick(loop: asyncio.AbstractEventLoop, last: float, longest: float) -> None:
    now = time.monotonic()
    silence = now - last - _TICK_SECONDS
    if silence > longest:
        longest = silence
        with Path(os.environ["SILENCES"]).open("a") as file:
            file.write(f"{silence:.3f}\n")
    loop.call_later(_TICK_SECONDS, _tick, loop, now, longest)


if __name__ == "__main__":
    Worker.startup = _startup  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
