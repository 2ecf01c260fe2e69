"""What a failure of a database means: for the call, and for the connection that it happened on."""

import sqlite3
from enum import Enum, auto
from typing import Final

from asyncpg.exceptions import InterfaceError, InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pets.domain.errors import NoIdsLeft, OutcomeUnknown, StoreUnavailable


class Meaning(Enum):
    """What is known about a call that failed."""

    NOT_DONE = auto()
    NOT_NOW = auto()
    """Not done, because the database was busy, or just started. A later try may succeed."""
    CONFLICT = auto()
    """Not done, because of another transaction. A second try is likely to succeed."""
    READ_ONLY = auto()
    """Not done, because this server takes no changes. Another server may have taken its place."""
    DISK = auto()
    """Not done, because the disk is full or fails."""
    NO_IDS = auto()
    """Not done, because all ids are given."""
    TAKEN_ID = auto()
    """Not done, because the sequence of ids is behind and gave an id that a pet has already."""
    UNKNOWN = auto()
    """It may have been done, because the connection was lost before the answer came."""
    BUG = auto()
    """Not done, because this service asked for something that can never work."""


MEANINGS: Final = {
    # SQLSTATEs of PostgreSQL, or their first two characters. A statement that fails with any other
    # one was rolled back.
    "40001": Meaning.CONFLICT,  # serialization_failure
    "40P01": Meaning.CONFLICT,  # deadlock_detected
    "55P03": Meaning.NOT_NOW,  # lock_not_available
    "57014": Meaning.NOT_NOW,  # query_canceled, for example by statement_timeout
    "53300": Meaning.NOT_NOW,  # too_many_connections
    "57P03": Meaning.NOT_NOW,  # cannot_connect_now
    "25006": Meaning.READ_ONLY,  # read_only_sql_transaction
    "53100": Meaning.DISK,  # disk_full
    "58030": Meaning.DISK,  # io_error
    "2200H": Meaning.NO_IDS,  # sequence_generator_limit_exceeded
    "08": Meaning.UNKNOWN,  # connection exceptions
    "57": Meaning.UNKNOWN,  # operator intervention, such as 57P01, admin_shutdown
    "22": Meaning.BUG,  # data exceptions
    "23": Meaning.BUG,  # violated constraints
    # Primary result codes of SQLite.
    "SQLITE_BUSY": Meaning.NOT_NOW,
    "SQLITE_LOCKED": Meaning.NOT_NOW,
    "SQLITE_CANTOPEN": Meaning.NOT_DONE,
    "SQLITE_READONLY": Meaning.READ_ONLY,
    "SQLITE_FULL": Meaning.DISK,
    "SQLITE_IOERR": Meaning.UNKNOWN,  # A commit whose sync failed can be found after a crash.
    "SQLITE_CONSTRAINT": Meaning.BUG,
    "SQLITE_MISMATCH": Meaning.BUG,
}

_MESSAGES: Final = {
    Meaning.NOT_DONE: "The store cannot be reached or does not answer.",
    Meaning.NOT_NOW: "The store cannot be reached or does not answer.",
    Meaning.CONFLICT: "The store was busy with another change of the same pets.",
    Meaning.READ_ONLY: "The store takes no changes at present.",
    Meaning.DISK: "The store cannot write to its disk.",
    Meaning.TAKEN_ID: "The store chose an id that another pet has; its operator can repair this.",
    Meaning.UNKNOWN: "The store failed in the middle of the request.",
}

FAILURES: Final = (
    DBAPIError,
    EmulatedDBAPIException,  # SQLAlchemy's, if a connection cannot be made
    InvalidRequestError,  # the pool's, if the server closes each connection that it makes
    PoolTimeoutError,
    PostgresError,
    InterfaceError,
    InternalClientError,  # A session that died at a bad moment leaves asyncpg confused.
    sqlite3.Error,
    OSError,
)
"""All that databases, drivers and pools raise."""


class Conflict(StoreUnavailable):
    """The call was rolled back because of another transaction."""


def meaning_of(error: BaseException) -> Meaning:
    """Return the meaning of one of the `FAILURES`. Anything else is a bug, too."""
    error = cause_of(error)
    if isinstance(error, PostgresError):
        sqlstate: str = getattr(error, "sqlstate", None) or ""
        if getattr(error, "constraint_name", None) == "pets_pkey":
            return Meaning.TAKEN_ID
        return MEANINGS.get(sqlstate) or MEANINGS.get(sqlstate[:2], Meaning.NOT_DONE)
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", "")
        primary = "_".join(name.split("_")[:2])
        return MEANINGS.get(primary, Meaning.NOT_DONE)
    if isinstance(error, PoolTimeoutError):
        return Meaning.NOT_DONE
    if isinstance(error, InterfaceError | InternalClientError | OSError):
        return Meaning.UNKNOWN
    return Meaning.BUG


def domain_error(meaning: Meaning) -> StoreUnavailable:
    """Return the error of the domain for a failure that is no bug.

    Raise it from `cause_of` the failure, because operators read that.
    """
    if meaning is Meaning.NO_IDS:
        return NoIdsLeft()
    message = _MESSAGES[meaning]
    unavailable = StoreUnavailable(message)
    if meaning is Meaning.CONFLICT:
        unavailable = Conflict(message)
    elif meaning is Meaning.UNKNOWN:
        unavailable = OutcomeUnknown(message)
    return unavailable


def spoils(error: BaseException | None) -> bool:
    """Whether the connection cannot be used again after what a call on it has raised.

    A statement that was cancelled may still be running on it.
    """
    if isinstance(error, Exception):
        return meaning_of(error) in {Meaning.UNKNOWN, Meaning.READ_ONLY}
    return error is not None


def cause_of(error: BaseException) -> BaseException:
    """Return what the driver has raised."""
    if isinstance(error, DBAPIError | EmulatedDBAPIException):
        return error.driver_exception
    return error


class _Translated:
    """Turns what databases and drivers raise into the domain's errors, except for bugs.

    It is a class because a generator costs more than reading a row.
    """

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FAILURES):
            meaning = meaning_of(error)
            if meaning is not Meaning.BUG:
                raise domain_error(meaning) from cause_of(error)
            if isinstance(error, PostgresError):
                # It quotes the row, and a bug is logged.
                error.detail = None  # type: ignore[attr-defined]  # The type lacks this attribute.


translated: Final = _Translated()
