"""The settings of sessions on PostgreSQL."""

import socket
from typing import Any, Final

from asyncpg.exceptions import PostgresLogMessage
from sqlalchemy.exc import DisconnectionError, MissingGreenlet
from sqlalchemy.util.concurrency import in_greenlet

OLDEST_SERVER: Final = 15
"""The oldest version of PostgreSQL that the service is made for. Older ones are refused."""

SESSION: Final = {
    "jit": "off",  # Compiling a statement takes longer than running it.
    # In a higher isolation, concurrent changes of one pet would fail instead of waiting.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    # A confirmed commit survives a crash. "remote_apply" would only serve reads from standbys.
    "synchronous_commit": "on",
    "search_path": "public",
    # Texts mean the same on every server.
    "standard_conforming_strings": "on",
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
    # These are for commands, because an import or an export may take long.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # The warning that a commit reached no standby must come.
    "client_min_messages": "warning",
    # A statement ends soon after its client has gone.
    "client_connection_check_interval": "2s",
}
"""The settings of every session, whatever the defaults of the server, database and user."""

QUICK_SESSION: Final = SESSION | {
    # One plan of each statement suits all values, because it reads indexes in their order.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}
SEARCH_SESSION: Final = SESSION | {
    # How a part of a name is best found depends on the other values of the search.
    "plan_cache_mode": "force_custom_plan",
}

PINNED: Final = frozenset({"client_encoding", *QUICK_SESSION, *SEARCH_SESSION})
"""The names of the settings that no URL can set. PostgreSQL ignores their case."""

MAX_LOCK_SECONDS: Final = 3


def too_old(version: str, number: int) -> str:
    """Return that a server is too old, or "" if it is not. `number` is its server_version_num."""
    if number >= OLDEST_SERVER * 10_000:
        return ""
    return f"PostgreSQL {OLDEST_SERVER} or newer is needed; this is {version}"


def time_limits(seconds: float) -> dict[str, str]:
    """Return the settings by which the server gives up before a client that waits for `seconds`.

    So the connection stays usable, and it is known that nothing was done.
    """
    lock_seconds = min(MAX_LOCK_SECONDS, 0.3 * seconds)
    return {
        "statement_timeout": f"{800 * seconds:.0f}ms",
        "lock_timeout": f"{1000 * lock_seconds:.0f}ms",
    }


def notice_lost_network(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Have the system close a connection whose other side has been silent for ten seconds.

    asyncpg has no such option.
    """
    if connection.driver_connection.is_closed():
        return
    server: socket.socket = connection.driver_connection._transport.get_extra_info("socket")  # noqa: SLF001  # asyncpg shows it nowhere else.
    if server.family == socket.AF_UNIX:
        return
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # Systems differ in what they have.
            server.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


_KEEPALIVE: Final = {
    "TCP_KEEPIDLE": 5,  # seconds of silence before the first probe
    "TCP_KEEPINTVL": 2,  # seconds between probes
    "TCP_KEEPCNT": 3,  # probes without an answer
    "TCP_USER_TIMEOUT": 10_000,  # milliseconds that sent bytes may stay unconfirmed
}


def connect_in_greenlet(*_: object) -> None:
    """Raise `MissingGreenlet` where nobody can wait for a new connection.

    SQLAlchemy would raise it too, but only after a coroutine was made that nobody awaits.
    """
    if not in_greenlet():
        raise MissingGreenlet


def forbid_timeouts(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Let no default of a server, database or role end long transactions or idle connections.

    These settings are not in `SESSION`: PostgreSQL before 17 would refuse the first, and a
    PgBouncer that is set up for an older version of this service the second.
    """
    driver = connection.driver_connection
    if driver.is_closed():
        return
    statement = "SET idle_session_timeout = 0"
    if driver.get_server_version() >= (17,):
        statement += "; SET transaction_timeout = 0"
    connection.run_async(lambda driver: driver.execute(statement))


UNREPLICATED: Final = "unreplicated"
"""The name in the facts of a connection that tells whether a commit reached no standby."""


def notice_unreplicated(connection: Any, record: Any) -> None:  # Any: as above.
    """Remember that a commit stayed on this server, because waiting for the standby was given up.

    PostgreSQL only warns of it, and confirms the commit.
    """

    def note(_: object, message: PostgresLogMessage) -> None:
        if message.as_dict().get("server_source_function") == "SyncRepWaitForLSN":
            record.info[UNREPLICATED] = True

    record.info[UNREPLICATED] = False
    connection.driver_connection.add_log_listener(note)


def refuse_closed(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Have the pool replace a connection that the server closed.

    So no request fails because the server has restarted.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError
