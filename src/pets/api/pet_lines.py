"""A line of a file of pets: what it may hold, and why it may be bad."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import asdict

from pets.api.problem_document import Fault
from pets.api.schemas import TIME_PATTERN, PetCreate
from pets.api.strict_json import Invalid
from pets.domain.errors import InvalidPet
from pets.domain.pet import MAX_ID, NewPet, Pet

MAX_KEPT_ID: Final = MAX_ID - 2**32
"""The highest id of an import that keeps its ids, so that the store has ids left for new pets."""

_TIME_RULE: Final = "a time in UTC like 2021-05-18T19:10:17"

AnyPet = NewPet | Pet


class PetLine(PetCreate, frozen=True, kw_only=True):
    """A pet to be imported, with an id that the store assigns."""

    # The defaults mean "missing". A client cannot send them, because they are invalid.
    id: Annotated[int, Meta(ge=1, le=MAX_ID, description=f"an integer from 1 to {MAX_ID}")] = 0
    created_at: Annotated[str, Meta(pattern=TIME_PATTERN, description=_TIME_RULE)] = ""

    def to_domain(self) -> NewPet:
        members = asdict(self)
        del members["id"]
        if not self.created_at:
            del members["created_at"]
        else:
            try:
                members["created_at"] = datetime.fromisoformat(self.created_at)
            except ValueError:
                raise BadLine(f"created_at must be {_TIME_RULE}") from None
        try:
            return NewPet(**members)
        except InvalidPet as error:
            raise BadLine(str(error)) from None

    def to_pet(self) -> AnyPet:
        return self.to_domain()


class KeptPetLine(PetLine, frozen=True, kw_only=True):
    """A pet to be imported with its own id."""

    id: Annotated[
        int, Meta(ge=1, le=MAX_KEPT_ID, description=f"an integer from 1 to {MAX_KEPT_ID}")
    ]

    def to_pet(self) -> AnyPet:
        return self.to_domain().with_id(self.id)


class LastId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line of an export with the highest id that was assigned, if its pet was removed.

    A store that imports the file does not assign the ids up to this one again.
    """

    last_id: Annotated[int, Meta(ge=1, le=MAX_ID)]


class BadLine(ValueError):
    """The message says why a line is not a pet. `faults` say it for each member, if they can."""

    faults: Sequence[Fault] = ()

    @classmethod
    def of(cls, error: Invalid) -> "BadLine":
        # The reason is one line, because a pointer is percent-encoded.
        reasons = [f"{(fault.pointer or '')[2:]} {fault.detail}" for fault in error.faults]
        bad = cls("; ".join(reason.strip() for reason in reasons))
        bad.faults = error.faults
        return bad
