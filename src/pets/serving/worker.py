"""A process that serves, until its parent says otherwise or is gone."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_RDWR, socket
from typing import Final

import uvicorn

_SIGN_SECONDS: Final = 1
"""How often the event loop shows its parent that it is not stuck."""

_WORDS_OF_STACK: Final = 7200
"""The size of a frame for which Python gets a chunk of 128 KiB, half of it for later frames."""


class Worker(uvicorn.Server):
    """uvicorn, with signs of life, and an end that loses no request.

    It stops on SIGTERM and SIGINT, and at the end of the file `end_of_work`. Signs of life are
    written to `sign`, if anyone reads them, the first one when it serves.
    """

    def __init__(self, config: uvicorn.Config, end_of_work: int, sign: int | None = None) -> None:
        super().__init__(config)
        self._end_of_work = end_of_work
        self._sign = sign

    def serve_with(
        self, loop_factory: Callable[[], asyncio.AbstractEventLoop], listener: socket
    ) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self.serve(sockets=[listener]))

    async def startup(self, sockets: list[socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._end_of_work, self._stop, loop, sockets)
        await super().startup(sockets)
        if self._sign is not None:
            self._show_life(loop, self._sign)

    def _stop(self, loop: asyncio.AbstractEventLoop, listeners: list[socket] | None) -> None:
        loop.remove_reader(self._end_of_work)
        for listener in listeners or []:
            # This closes it for all workers. Otherwise a client could connect, and send a request,
            # until the last worker closes it.
            with suppress(OSError):  # Another worker has done so.
                listener.shutdown(SHUT_RDWR)
        signal.raise_signal(signal.SIGTERM)

    def _show_life(self, loop: asyncio.AbstractEventLoop, sign: int) -> None:
        with suppress(OSError):  # The parent is gone, or so busy that it has read none for hours.
            os.write(sign, b".")
        loop.call_later(_SIGN_SECONDS, self._show_life, loop, sign)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        # A connection that is being opened must be known when all are told to close.
        for acceptor in self.servers:
            acceptor.close()
            await acceptor.wait_closed()
        await super().shutdown(sockets)


# Python keeps the frames of functions in chunks of 16 KiB, and returns a chunk to the system when
# its first frame ends. A request that just crossed the end of a chunk took up to four times as long
# (docs/decisions/0032). A frame that needs a larger chunk leaves enough room for all later ones.
Worker.serve_with.__code__ = Worker.serve_with.__code__.replace(co_stacksize=_WORDS_OF_STACK)
