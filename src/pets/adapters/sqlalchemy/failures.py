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
    TargetServerAttributeNotMatched,
)
from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pets.domain.errors import NoIdsLeft, OutcomeUnknown, StoreUnavailable


class Meaning(Enum):
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


MEANINGS: Final = {
    # SQLSTATEs of PostgreSQL, or their first two characters. Any other one is REFUSED, because the
    # statement was rolled back.
    "40003": Meaning.UNKNOWN,  # statement_completion_unknown
    "40001": Meaning.CONFLICT,  # serialization_failure
    "40P01": Meaning.CONFLICT,  # deadlock_detected
    "55P03": Meaning.NOT_NOW,  # lock_not_available
    "57014": Meaning.NOT_NOW,  # query_canceled, for example by statement_timeout
    "53": Meaning.NOT_NOW,  # insufficient resources, such as 53300, too_many_connections
    "57P03": Meaning.NOT_NOW,  # cannot_connect_now
    "25006": Meaning.READ_ONLY,  # read_only_sql_transaction
    "53100": Meaning.DISK,  # disk_full
    "58030": Meaning.DISK,  # io_error
    "2200H": Meaning.NO_IDS,  # sequence_generator_limit_exceeded
    "08": Meaning.UNKNOWN,  # connection exceptions
    "57": Meaning.UNKNOWN,  # operator intervention, such as 57P01, admin_shutdown
    "22": Meaning.BUG,  # data exceptions
    "23": Meaning.BUG,  # violated constraints
    # Primary result codes of SQLite. Any other one is REFUSED.
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
    Meaning.REFUSED: "The store refused this.",
    Meaning.NOT_NOW: "The store was too busy to do this in time.",
    Meaning.CONFLICT: "The store was busy with another change of the same pets.",
    Meaning.READ_ONLY: "The store takes no changes at present.",
    Meaning.DISK: "The store cannot write to its disk.",
    Meaning.TAKEN_ID: "The store chose an id that another pet has; its operator can repair this.",
    Meaning.UNKNOWN: "The store failed in the middle of the request.",
}

NOT_MIGRATED: Final = "The store is not migrated to this version; `pets migrate` does that."

_REASONS: Final = {
    # What clients are told, by the SQLSTATE of PostgreSQL or by its first two characters.
    "08": _MESSAGES[Meaning.NOT_DONE],
    "08004": "The database refused the connection.",
    "08P01": "The database refused the connection.",  # as PgBouncer does
    "28": "The database refused the user or the password.",
    "3D000": "There is no such database.",
    "25006": _MESSAGES[Meaning.READ_ONLY],
    "42501": "The database user lacks a right.",
    "42703": NOT_MIGRATED,  # undefined_column
    "42704": "The database lacks something that PostgreSQL 15 and newer have.",
    "42883": NOT_MIGRATED,  # undefined_function
    "42P01": NOT_MIGRATED,  # undefined_table
    "53": _MESSAGES[Meaning.NOT_NOW],
    "53300": "The database takes no more connections.",
    "55P03": "Another transaction held a lock for too long.",
    "57": "The database is starting or stopping.",
    "57014": "The store did not answer in time.",
    "XX": "The database has an internal error or is damaged.",
    # Primary result codes of SQLite.
    "SQLITE_BUSY": _MESSAGES[Meaning.NOT_NOW],
    "SQLITE_LOCKED": _MESSAGES[Meaning.NOT_NOW],
    "SQLITE_CANTOPEN": "The file of the store cannot be opened.",
    "SQLITE_IOERR": "The file of the store cannot be read.",
    "SQLITE_CORRUPT": "The file of the store is damaged.",
    "SQLITE_NOTADB": "The file of the store is not one of SQLite.",
}

_HAVE_REASONS: Final = {Meaning.NOT_DONE, Meaning.REFUSED, Meaning.NOT_NOW}

_NO_CONNECTION: Final = {
    SSLError: "TLS with the database failed.",
    ClientConfigurationError: "The database cannot be connected to in the way that is set.",
    TargetServerAttributeNotMatched: _MESSAGES[Meaning.READ_ONLY],
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


def meaning_of(error: BaseException) -> Meaning:
    """Return the meaning of one of the `FAILURES`. Anything else is a bug, too."""
    error = cause_of(error)
    if getattr(error, "constraint_name", None) == "pets_pkey":
        return Meaning.TAKEN_ID
    if isinstance(error, PostgresError | sqlite3.Error):
        code = _code(error)
        return MEANINGS.get(code) or MEANINGS.get(code[:2], Meaning.REFUSED)
    if isinstance(error, PoolTimeoutError):
        return Meaning.NOT_DONE
    if isinstance(error, InterfaceError | InternalClientError | OSError):
        return Meaning.UNKNOWN
    return Meaning.BUG


def _code(error: BaseException) -> str:
    """Return the SQLSTATE of PostgreSQL, or the primary result code of SQLite."""
    if isinstance(error, sqlite3.Error):
        return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
    return getattr(error, "sqlstate", None) or ""


def domain_error(meaning: Meaning, error: BaseException | None = None) -> StoreUnavailable:
    """Return the error of the domain for a failure that is no bug.

    Raise it from `cause_of` the failure, because operators read that.
    """
    if meaning is Meaning.NO_IDS:
        return NoIdsLeft()
    message = _MESSAGES[meaning]
    if error and meaning in _HAVE_REASONS:
        message = _reason(cause_of(error)) or message
    unavailable = StoreUnavailable(message)
    if meaning is Meaning.CONFLICT:
        unavailable = Conflict(message)
    elif meaning is Meaning.UNKNOWN:
        unavailable = OutcomeUnknown(message)
    return unavailable


def connect_error(error: BaseException) -> StoreUnavailable:
    """Return the error of the domain for a connection that was not made, so nothing was done."""
    cause = cause_of(error)
    for type_, message in _NO_CONNECTION.items():
        if isinstance(cause, type_):
            return StoreUnavailable(message)
    return StoreUnavailable(_reason(cause) or _MESSAGES[Meaning.NOT_DONE])


def _reason(error: BaseException) -> str:
    """Return what the code of an error says. It is empty for an error without a code.

    The text of the error is not for clients.
    """
    code = _code(error)
    if code == "SQLITE_ERROR" and "no such " in str(error):  # a table or column
        return NOT_MIGRATED
    if not code:
        return ""
    name = f"SQLSTATE {code}" if isinstance(error, PostgresError) else code
    unknown = f"The store refused this ({name})."
    return _REASONS.get(code) or _REASONS.get(code[:2], unknown)


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
                raise domain_error(meaning, error) from cause_of(error)
            if isinstance(error, PostgresError):
                # It quotes the row, and a bug is logged.
                error.detail = None  # type: ignore[attr-defined]  # The type lacks this attribute.


translated: Final = _Translated()
