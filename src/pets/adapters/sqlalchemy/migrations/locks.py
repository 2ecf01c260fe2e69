"""Locks for migrations, which run while older versions of the service serve on."""

import time
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

_TRIES: Final = (0.1, 0.1, 0.1, 0.1, 2.0)
"""Seconds that each try waits. PostgreSQL ends an autovacuum in whose way it is after 1 second."""

_PAUSE: Final = 0.5
"""Seconds between two tries."""


def lock_table(connection: Connection, table: str) -> None:
    """Lock a table of PostgreSQL against everyone until the migration ends.

    A request for a lock holds up everyone who comes after it, so it waits in short tries.
    Raises `DBAPIError` for `lock_not_available` if others go on using the table, for example an
    export. Nothing is migrated then, and the same migration may succeed later.
    """
    for number, seconds in enumerate(_TRIES):
        if number:
            time.sleep(_PAUSE)
        connection.exec_driver_sql("SAVEPOINT before_lock")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{1000 * seconds:.0f}ms'")
        try:
            connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        except DBAPIError as error:
            is_last = number == len(_TRIES) - 1
            if is_last or getattr(error.driver_exception, "sqlstate", None) != "55P03":
                raise
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before_lock")
        else:
            connection.exec_driver_sql("RELEASE SAVEPOINT before_lock")
            connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")
            return
