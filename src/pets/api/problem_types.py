"""The types of problems. Each is the path of a page that explains it (RFC 9457, 3.1.1)."""

from typing import Final, NamedTuple

BLANK: Final = "about:blank"
"""The type of a problem whose status says everything."""

INVALID_BODY: Final = "/problems/invalid-body"
INVALID_QUERY: Final = "/problems/invalid-query"
INVALID_HEADER: Final = "/problems/invalid-header"
PET_NOT_FOUND: Final = "/problems/pet-not-found"
KEY_REUSED: Final = "/problems/key-reused"
NO_IDS_LEFT: Final = "/problems/no-ids-left"
NOT_DONE: Final = "/problems/not-done"
OUTCOME_UNKNOWN: Final = "/problems/outcome-unknown"


class Meaning(NamedTuple):
    """What all problems of a type have in common."""

    status: int
    text: str


TYPES: Final = {
    INVALID_BODY: Meaning(
        400,
        "The body is missing, cannot be read, or is not what the operation takes. If it can be "
        "read, `errors` lists its faults, each with a JSON pointer to its place.",
    ),
    INVALID_QUERY: Meaning(
        400,
        "A query parameter is not known, is sent too often, or has a value that is not allowed. "
        "`errors` lists all such parameters.",
    ),
    INVALID_HEADER: Meaning(
        400,
        "`If-Match`, `If-None-Match` or `Idempotency-Key` is malformed. "
        "`detail` says which, and what it must be.",
    ),
    PET_NOT_FOUND: Meaning(404, "There is no pet with this id."),
    KEY_REUSED: Meaning(
        422,
        "The `Idempotency-Key` was used for other pets. Nothing was created. "
        "Send the request with a new key.",
    ),
    NO_IDS_LEFT: Meaning(
        507,
        "The store has no ids left for new pets. Nothing was created. "
        "Sending the request again does not help.",
    ),
    NOT_DONE: Meaning(
        503,
        "The service could not do what the request asks, and has changed nothing. "
        "The request is safe to send again after the seconds of `Retry-After`.",
    ),
    OUTCOME_UNKNOWN: Meaning(
        503,
        "The service lost its store in the middle of the request. The change may have been made "
        "or not. Read the pets to find out, or send a creation with an `Idempotency-Key`, which "
        "is safe to send again.",
    ),
}


def page(type_: str) -> str | None:
    """Return the page that explains a type, or None if there is no such type."""
    if type_ not in TYPES:
        return None
    status, meaning = TYPES[type_]
    title = type_.rpartition("/")[2].replace("-", " ").capitalize()
    return f"{title} (status {status})\n\n{meaning}\n"
