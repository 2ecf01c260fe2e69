"""The record of a load: every request and answer, and what it did with which pet."""

import math
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.client import Exchange
from tests.faults.linearizability import Kind, Operation, Result, Value

RETRY_SECONDS: Final = 0.3


@dataclass(eq=False)
class Creation:
    """A pet that a client asked for: once, or with a key until it was acknowledged."""

    value: Value
    key: str | None
    called: float = field(default_factory=time.monotonic)
    answered: float = math.inf
    retry_at: float = 0
    may_have_happened: bool = False
    ids: set[int] = field(default_factory=set)
    """The ids in the answers. There must not be two of them."""

    def note(self, exchange: Exchange) -> None:
        self.retry_at = exchange.answered + RETRY_SECONDS
        if exchange.result is not None:
            self.may_have_happened = True
        if exchange.result is Result.DONE:
            self.answered = min(self.answered, exchange.answered)
            self.ids.add(exchange.document["id"])

    @property
    def operation(self) -> Operation:
        result = Result.DONE if self.ids else Result.UNKNOWN
        return Operation(Kind.CREATE, result, self.called, self.answered, self.value)


class Record:
    """`operations` has what was done with each pet, by its id, but not its creation."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.polls: list[Exchange] = []
        self.creations: list[Creation] = []
        self.operations: dict[int, list[Operation]] = defaultdict(list)

    def add(
        self,
        kind: Kind,
        id_: int,
        exchange: Exchange,
        value: Value | None = None,
        expected: Value | None = None,
    ) -> None:
        """Note what a request did with a pet, unless it certainly did nothing."""
        result = exchange.result
        if result is None:
            return
        if kind is Kind.READ and result is Result.DONE:
            value = value_of(exchange.document)
        answered = math.inf if result is Result.UNKNOWN else exchange.answered
        operation = Operation(kind, result, exchange.called, answered, value, expected)
        self.operations[id_].append(operation)

    def add_page(self, exchange: Exchange) -> None:
        """Note that each pet of a page was read."""
        if exchange.result is Result.DONE:
            for pet in exchange.document["items"]:
                times = (exchange.called, exchange.answered)
                operation = Operation(Kind.READ, Result.DONE, *times, value_of(pet))
                self.operations[pet["id"]].append(operation)


def value_of(pet: dict[str, Any]) -> Value:  # Any: it is JSON.
    return pet["name"], pet["age"]
