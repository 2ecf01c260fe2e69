"""Examples of problems for the OpenAPI document. Each is as the service answers it."""

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from pets.api.conditions import PreconditionFailed
from pets.api.idempotency import KeyReused
from pets.api.problem_document import EXAMPLE_REQUEST_ID, Fault
from pets.api.problem_types import (
    BLANK,
    INVALID_BODY,
    INVALID_QUERY,
    KEY_REUSED,
    NO_IDS_LEFT,
    NOT_DONE,
    OUTCOME_UNKNOWN,
    PET_NOT_FOUND,
)
from pets.api.problems import BUG, MEDIA_TYPE, PetNotFound, problem
from pets.asgi import SAFE_METHODS
from pets.domain.errors import NoIdsLeft
from pets.domain.pet import AGE_RULE
from pets.domain.query import LIMIT_RULE


class _Example(NamedTuple):
    detail: str
    errors: list[Fault] | UnsetType = UNSET
    type: str = BLANK
    instance: str = ""
    """The path of the operation, unless the server answers before it has read the path."""


_FAULTS: Final = [Fault(pointer="#/age", detail=f"must be {AGE_RULE}, in whole years")]


def _bad_parameter(name: str, fault: str) -> _Example:
    detail = f"The query parameter `{name}` {fault}."
    return _Example(detail, [Fault(parameter=name, detail=fault)], INVALID_QUERY)


_NO_HOST: Final = _Example("The header Host must be sent exactly once.", instance="/")
_NO_TAG_OF_ALL: Final = _Example(
    "`If-Match` names a tag, but the list of pets as a whole has none."
)
_NOT_DONE: Final = _Example("The store cannot be reached or does not answer.", type=NOT_DONE)
_OUTCOME_UNKNOWN: Final = _Example(
    "The store failed in the middle of the request.", type=OUTCOME_UNKNOWN
)

_OTHERS: Final = ""
"""The operations that have no example of their own for this status."""
_EXAMPLES: Final = {
    (400, "createPet"): _Example("The body is not a valid PetCreate.", _FAULTS, INVALID_BODY),
    (400, "replacePet"): _Example("The body is not a valid PetCreate.", _FAULTS, INVALID_BODY),
    (400, "updatePet"): _Example("The body is not a valid PetUpdate.", _FAULTS, INVALID_BODY),
    (400, "listPets"): _bad_parameter("limit", f"must be {LIMIT_RULE}"),
    (400, "countPets"): _bad_parameter("age_min", f"must be {AGE_RULE}"),
    (400, "deletePets"): _Example(
        "The ids must be either in the body or in query parameters `ids`.", type=INVALID_BODY
    ),
    (400, "isLive"): _NO_HOST,
    (400, "isReady"): _NO_HOST,
    (400, _OTHERS): _bad_parameter("fields", "is not known here. Known are: none"),
    (401, _OTHERS): _Example(
        "This needs an API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
    ),
    (403, _OTHERS): _Example("This API key may only read."),
    (404, _OTHERS): _Example(PetNotFound.detail, type=PET_NOT_FOUND),
    (406, "listPets"): _Example(
        "`Accept` must allow one of: application/json, application/x-ndjson, text/csv."
    ),
    (412, "createPet"): _NO_TAG_OF_ALL,
    (412, "deletePets"): _NO_TAG_OF_ALL,
    (412, _OTHERS): _Example(PreconditionFailed.detail),
    (413, "createPet"): _Example("The body is over 1024 KiB."),
    (413, "deletePets"): _Example("The body is over 320 KiB."),
    (413, _OTHERS): _Example("The body is over 16 KiB."),
    (415, "createPet"): _Example(
        "The body must be `application/json` or `application/x-ndjson` or `text/csv`, "
        "and the header Content-Type must say so."
    ),
    (415, "updatePet"): _Example(
        "The body must be `application/json` or `application/merge-patch+json`, "
        "and the header Content-Type must say so."
    ),
    (415, _OTHERS): _Example(
        "The body must be `application/json`, and the header Content-Type must say so."
    ),
    (422, _OTHERS): _Example(KeyReused.detail, type=KEY_REUSED),
    (431, _OTHERS): _Example("The header or trailer fields are over 65536 bytes.", instance="/"),
    (500, _OTHERS): _Example(BUG),
    (503, _OTHERS): _NOT_DONE,
    (507, _OTHERS): _Example(str(NoIdsLeft()), type=NO_IDS_LEFT),
}


def add_examples(paths: dict[str, Any]) -> None:  # Any: whatever JSON can hold.
    """Give each problem in the paths of an OpenAPI document an example of its own status.

    If a change fails with 503, there are two examples, because its outcome may be unknown.
    """
    for path, item in paths.items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                described = response.get("content", {}).get(MEDIA_TYPE)
                if described is None:
                    continue
                key = (int(status), operation["operationId"])
                example = _EXAMPLES.get(key) or _EXAMPLES[int(status), _OTHERS]
                if status == "503" and method.upper() not in SAFE_METHODS:
                    described["examples"] = {
                        "not done": {"value": _problem(503, example, path)},
                        "outcome unknown": {"value": _problem(503, _OUTCOME_UNKNOWN, path)},
                    }
                else:
                    described["example"] = _problem(int(status), example, path)


def _problem(status: int, example: _Example, path: str) -> Any:  # Any: whatever JSON can hold.
    instance = example.instance or path.replace("{pet_id}", "1")
    described = problem(status, example.detail, instance, example.errors, type_=example.type)
    # The document itself is the answer to some request, whose id means nothing in an example.
    described = msgspec.structs.replace(described, request_id=EXAMPLE_REQUEST_ID)
    return msgspec.to_builtins(described)
