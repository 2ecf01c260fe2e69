"""An event loop that accepts many connections at once, and none that it could not serve."""

import asyncio
import os
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final

from pets.serving.errors import CannotServe

try:
    from uvloop import Loop
except ImportError:  # A system may lack it. asyncio's own loop does the same, more slowly.
    from asyncio import SelectorEventLoop as Loop  # type: ignore[assignment]  # mypy knows uvloop.

RESERVED_FILES: Final = 100
"""How many of the open files that the system allows are kept for other things."""

_WORKER_FILES: Final = 53
"""How many files a worker has open: up to 31 of its store, its own, standard files, a few clients.

It also has one of its parent's for each other worker.
"""

_OPEN_MAX: Final = 10_240
"""How many open files macOS takes for a limit of its own where the hard limit is infinite.

It refuses to make the soft limit infinite: see COMPATIBILITY in its setrlimit(2).
"""

_PAUSE_SECONDS: Final = 0.1


def allow_open_files(workers: int) -> None:
    """Let this process, and its workers, open as many files as the system allows.

    Raises `CannotServe` if that is so little that no client could be accepted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _OPEN_MAX), hard))
        return
    needed = RESERVED_FILES + _WORKER_FILES + workers
    if hard < needed:
        raise CannotServe(
            f"the system allows {hard} open files, and this service needs {needed} (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit_clients(number: int) -> None:
    """Let this process accept about so many connections at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, number + RESERVED_FILES), hard))


class AcceptingLoop(Loop):
    """uvloop, where it is installed, but an `Acceptor` accepts the connections of its servers."""

    max_accepted: ClassVar = 256
    """How many connections are accepted in one turn. uvloop itself accepts one."""

    # uvicorn gives these parameters alone. Any: the others do not matter.
    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *,
        sock: socket.socket,
        backlog: int,
        **_: Any,
    ) -> "Acceptor":
        sock.settimeout(0)
        sock.listen(backlog)
        acceptor = Acceptor(self, sock, protocol_factory)
        acceptor.start()
        return acceptor


class SharingLoop(AcceptingLoop):
    """The same for each of several workers, which leaves connections to the others."""

    max_accepted: ClassVar = 4


class Acceptor:
    """Accepts the connections of a listener, unless too many files are open.

    Clients then wait in the backlog of the system. A connection that were accepted might have to
    be reset, or take a file that the store needs for a connection of its own.
    """

    def __init__(
        self,
        loop: AcceptingLoop,
        listener: socket.socket,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._protocol_factory = protocol_factory
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._max_files = soft - RESERVED_FILES
        self._is_closed = False
        # Without a reference, the loop may forget the tasks.
        self._opening: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accept no more than what waits already. `wait_closed` does so."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Accept what waits, because it would be reset. Return when all of it has its protocol."""
        if self._listener.fileno() >= 0:
            with suppress(OSError):  # Nothing more waits.
                while self._accept_some():  # noqa: ASYNC110  # This waits for no event.
                    await asyncio.sleep(0)  # The next turn goes on.
            self._listener.close()
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept(self) -> None:
        try:
            if not self._accept_some():
                self._pause()
        except BlockingIOError:
            return
        except OSError:  # The system has too many open files, or the network has a fault.
            self._pause()

    def _accept_some(self) -> bool:
        """Accept what one turn may. Return False if too many files are open."""
        for _ in range(self._loop.max_accepted):
            if self._lowest_free_file() >= self._max_files:
                return False
            connection, _ = self._listener.accept()
            self._open(connection)
        return True

    def _pause(self) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(_PAUSE_SECONDS, self.start)

    def _open(self, connection: socket.socket) -> None:
        opening = self._loop.connect_accepted_socket(self._protocol_factory, connection)
        task = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _lowest_free_file(self) -> int:
        number = os.dup(self._listener.fileno())
        os.close(number)
        return number
