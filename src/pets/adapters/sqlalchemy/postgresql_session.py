"""The settings of sessions on PostgreSQL."""

from typing import Any, Final

from sqlalchemy.exc import DisconnectionError

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
    # This service has its own time limits. An import or an export may take long.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
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


def refuse_closed(connection: Any, *_: object) -> None:  # Any: SQLAlchemy's adapter
    """Have the pool replace a connection that the server closed.

    So no request fails because the server has restarted.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError
