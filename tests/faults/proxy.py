"""The network between the service and PostgreSQL, which can be broken."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_ESTABLISHED: Final = "01"
_AT_ONCE: Final = 65_536


class _Route:
    """A connection of the service, and the one to PostgreSQL that goes with it."""

    def __init__(self, service: asyncio.StreamWriter, store: asyncio.StreamWriter) -> None:
        self._service = service
        self._store = store

    def reset(self) -> None:
        for writer in (self._service, self._store):
            end: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):  # It is closed already.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class Proxy:
    """Passes bytes on in both directions until it is told to do worse."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._routes: set[_Route] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers = 0
        self._at_once = _AT_ONCE
        self._pause = 0.0
        self._cut_every = 0
        self.port = 0

    def connections(self) -> int:
        """Return how many connections the service has, as the kernel sees them."""
        number = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, _, remote, state, *_ = line.split()
            if remote.endswith(f":{self.port:04X}") and state == _ESTABLISHED:
                number += 1
        return number

    def swallow(self) -> None:
        """Pass nothing on any more, in either direction. Nobody is told."""
        self._flowing.clear()

    def pass_on(self) -> None:
        """Work again, and deliver what was held back."""
        self._flowing.set()
        self._at_once = _AT_ONCE
        self._pause = 0
        self._cut_every = 0

    def reset(self) -> None:
        """Reset all connections."""
        for route in list(self._routes):
            route.reset()

    def slow_down(self, bytes_at_once: int, pause: float, cut_every: int) -> None:
        """Pass few bytes at once, and cut off some answers in the middle, with a reset."""
        self._at_once = bytes_at_once
        self._pause = pause
        self._cut_every = cut_every

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            store_reader, store = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        route = _Route(writer, store)
        self._routes.add(route)
        answers = asyncio.create_task(self._pass(store_reader, writer, route, is_answer=True))
        self._tasks.add(answers)
        try:
            await self._pass(reader, store, route, is_answer=False)
            await answers
        finally:
            self._routes.discard(route)
            self._tasks.discard(answers)
            writer.close()
            store.close()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        route: _Route,
        *,
        is_answer: bool,
    ) -> None:
        with suppress(OSError):
            while data := await source.read(_AT_ONCE):
                await self._flowing.wait()
                if is_answer and self._is_to_be_cut():
                    await self._write(sink, data[: len(data) // 2])
                    route.reset()
                    break
                await self._write(sink, data)
        await self._flowing.wait()
        sink.close()

    def _is_to_be_cut(self) -> bool:
        self._answers += 1
        return self._cut_every > 0 and self._answers % self._cut_every == 0

    async def _write(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        while data and not sink.is_closing():
            sink.write(data[: self._at_once])
            data = data[self._at_once :]
            await sink.drain()
            if self._pause:
                await asyncio.sleep(self._pause)


@asynccontextmanager
async def proxied(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy before a port of this machine until the end of the block."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.pass_on()
        proxy.reset()
