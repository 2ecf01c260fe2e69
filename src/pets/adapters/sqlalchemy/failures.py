"""What a failure of a database means: for the call, and for the connection that it happened on."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from ssl import SSLError
from typing import Final

from asyncpg.exceptions import (
    ClientConfigurationError,
    InsufficientPrivilegeError,
    InterfaceError,
    InternalClientError,
    PostgresError,
    QueryCanceledError,
    TargetServerAttributeNotMatched,
)
from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pets.domain.errors import NoIdsLeft, OutcomeUnknown, StoreUnavailable
from pets.domain.query import PetQuery


class Outcome(Enum):
    """What is known about a call that failed."""

    NOT_DONE = auto()
    """Not done, because the database cannot be reached or does not answer."""
    REFUSED = auto()
    """Not done, because the database refused it. It will do so until somebody changes it."""
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


_UNREACHABLE: Final = "The store cannot be reached or does not answer."
_BUSY: Final = "The store was too busy to do this in time."
_DISK: Final = "The store cannot write to its disk."
_READ_ONLY: Final = "The store takes no changes at present."
TOO_SLOW_SEARCH: Final = (
    "The search for a part of a name took too long: use three letters or more and other filters, "
    "or ask the operator to make an index with `pets index-names`."
)
NOT_MIGRATED: Final = "The store is not migrated to this version; `pets migrate` does that."

_MESSAGES: Final = {
    Outcome.NOT_DONE: _UNREACHABLE,
    Outcome.REFUSED: "The store refused this.",
    Outcome.NOT_NOW: _BUSY,
    Outcome.CONFLICT: "The store was busy with another change of the same pets.",
    Outcome.READ_ONLY: _READ_ONLY,
    Outcome.DISK: _DISK,
    Outcome.TAKEN_ID: "The store chose an id that another pet has; its operator can repair this.",
    Outcome.UNKNOWN: "The store failed in the middle of the request.",
}
_CODES_TELL_MORE: Final = {Outcome.NOT_DONE, Outcome.REFUSED, Outcome.NOT_NOW}

CODES: Final = {
    # SQLSTATEs of PostgreSQL, or their first two characters, and what clients are told if they
    # tell more than the outcome, or if no connection can be made. Any other one is REFUSED,
    # because the statement was rolled back.
    "08": (Outcome.UNKNOWN, _UNREACHABLE),  # connection exceptions
    "08004": (Outcome.UNKNOWN, "The database refused the connection."),
    "08P01": (Outcome.UNKNOWN, "The database refused the connection."),  # as PgBouncer does
    "22": (Outcome.BUG, ""),  # data exceptions
    "2200H": (Outcome.NO_IDS, ""),  # sequence_generator_limit_exceeded
    "23": (Outcome.BUG, ""),  # violated constraints
    "25006": (Outcome.READ_ONLY, _READ_ONLY),  # read_only_sql_transaction
    "28": (Outcome.REFUSED, "The database refused the user or the password."),
    "3D000": (Outcome.REFUSED, "There is no such database."),
    "40001": (Outcome.CONFLICT, ""),  # serialization_failure
    "40003": (Outcome.UNKNOWN, ""),  # statement_completion_unknown
    "40P01": (Outcome.CONFLICT, ""),  # deadlock_detected
    "42501": (Outcome.REFUSED, "The database user lacks a right."),
    "42703": (Outcome.REFUSED, NOT_MIGRATED),  # undefined_column
    "42704": (Outcome.REFUSED, "The database lacks something that PostgreSQL 15 and newer have."),
    "42883": (Outcome.REFUSED, NOT_MIGRATED),  # undefined_function
    "42P01": (Outcome.REFUSED, NOT_MIGRATED),  # undefined_table
    "53": (Outcome.NOT_NOW, _BUSY),  # insufficient resources
    "53100": (Outcome.DISK, _DISK),  # disk_full
    "53300": (Outcome.NOT_NOW, "The database takes no more connections."),
    "55P03": (Outcome.NOT_NOW, "Another transaction held a lock for too long."),
    "57": (Outcome.UNKNOWN, "The database is starting or stopping."),  # such as admin_shutdown
    "57014": (Outcome.NOT_NOW, "The store did not answer in time."),  # query_canceled
    "57P03": (Outcome.NOT_NOW, "The database is starting or stopping."),  # cannot_connect_now
    "58030": (Outcome.DISK, _DISK),  # io_error
    "XX": (Outcome.REFUSED, "The database has an internal error or is damaged."),
    # Primary result codes of SQLite. Any other one is REFUSED.
    "SQLITE_BUSY": (Outcome.NOT_NOW, _BUSY),
    "SQLITE_LOCKED": (Outcome.NOT_NOW, _BUSY),
    "SQLITE_CANTOPEN": (Outcome.NOT_DONE, "The file of the store cannot be opened."),
    "SQLITE_CORRUPT": (Outcome.REFUSED, "The file of the store is damaged."),
    "SQLITE_NOTADB": (Outcome.REFUSED, "The file of the store is not one of SQLite."),
    "SQLITE_READONLY": (Outcome.READ_ONLY, _READ_ONLY),
    "SQLITE_FULL": (Outcome.DISK, _DISK),
    # A commit whose sync failed can be found after a crash.
    "SQLITE_IOERR": (Outcome.UNKNOWN, "The file of the store cannot be read."),
    "SQLITE_CONSTRAINT": (Outcome.BUG, ""),
    "SQLITE_MISMATCH": (Outcome.BUG, ""),
}

_NO_CONNECTION: Final = {
    SSLError: "TLS with the database failed.",
    ClientConfigurationError: "The database cannot be connected to in the way that is set.",
    TargetServerAttributeNotMatched: _READ_ONLY,
    PoolTimeoutError: "All connections to the store are in use.",
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


def outcome_of(error: BaseException) -> Outcome:
    """Return what one of the `FAILURES` says of the call. Anything else is a bug, too."""
    error = cause_of(error)
    if getattr(error, "constraint_name", None) == "pets_pkey":
        return Outcome.TAKEN_ID
    if isinstance(error, PostgresError | sqlite3.Error):
        outcome, _ = _explained(error)
        return outcome
    if isinstance(error, PoolTimeoutError):
        return Outcome.NOT_DONE
    if isinstance(error, InterfaceError | InternalClientError | OSError):
        return Outcome.UNKNOWN
    return Outcome.BUG


def _explained(error: BaseException) -> tuple[Outcome, str]:
    """Return what the code of an error says: the outcome, and a message for clients or "".

    The text of the error is not for clients.
    """
    if isinstance(error, sqlite3.Error):
        code = name = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
        if code == "SQLITE_ERROR" and "no such " in str(error):  # a table or column
            return Outcome.REFUSED, NOT_MIGRATED
    else:
        code = getattr(error, "sqlstate", None) or ""
        name = f"SQLSTATE {code}"
    outcome, told = CODES.get(code) or CODES.get(code[:2]) or (Outcome.REFUSED, "")
    if code and not told:
        told = f"The store refused this ({name})."
    return outcome, told


def domain_error(outcome: Outcome, error: BaseException | None = None) -> StoreUnavailable:
    """Return the error of the domain for a failure that is no bug.

    Raise it from `cause_of` the failure, because operators read that.
    """
    if outcome is Outcome.NO_IDS:
        return NoIdsLeft()
    message = _MESSAGES[outcome]
    if error and outcome in _CODES_TELL_MORE:
        _, told = _explained(cause_of(error))
        message = told or message
    if outcome is Outcome.CONFLICT:
        return Conflict(message)
    return OutcomeUnknown(message) if outcome is Outcome.UNKNOWN else StoreUnavailable(message)


def connect_error(error: BaseException) -> StoreUnavailable:
    """Return the error of the domain for a connection that was not made, so nothing was done."""
    cause = cause_of(error)
    for type_, message in _NO_CONNECTION.items():
        if isinstance(cause, type_):
            return StoreUnavailable(message)
    _, told = _explained(cause)
    return StoreUnavailable(told or _UNREACHABLE)


def leaves_connection_unusable(error: BaseException | None) -> bool:
    """Whether the connection cannot be used again after what a call on it has raised.

    A statement that was cancelled may still be running on it.
    """
    if isinstance(error, Exception):
        return outcome_of(error) in {Outcome.UNKNOWN, Outcome.READ_ONLY}
    return error is not None


def cause_of(error: BaseException) -> BaseException:
    """Return what the driver has raised."""
    if isinstance(error, DBAPIError | EmulatedDBAPIException):
        return error.driver_exception
    return error


@contextmanager
def owners_alone(message: str) -> Iterator[None]:
    """Turn the error that a right is missing into one with this message."""
    try:
        yield
    except FAILURES as error:
        cause = cause_of(error)
        if isinstance(cause, InsufficientPrivilegeError):
            raise StoreUnavailable(message) from cause
        raise


@contextmanager
def explained(query: PetQuery) -> Iterator[None]:
    """Tell clients what makes a search for a part of a name faster, if one took too long."""
    try:
        yield
    except StoreUnavailable as error:
        if query.name is not None and isinstance(error.__cause__, QueryCanceledError):
            raise StoreUnavailable(TOO_SLOW_SEARCH) from error.__cause__
        raise


class _Translated:
    """Turns what databases and drivers raise into the domain's errors, except for bugs.

    It is a class because a generator costs more than reading a row.
    """

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FAILURES):
            outcome = outcome_of(error)
            if outcome is not Outcome.BUG:
                raise domain_error(outcome, error) from cause_of(error)
            if isinstance(error, PostgresError):
                # It quotes the row, and a bug is logged.
                error.detail = None  # type: ignore[attr-defined]  # The type lacks this attribute.


translated: Final = _Translated()
