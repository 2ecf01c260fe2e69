"""A check that the history of one pet is linearizable.

It is if each operation can be given a moment between its call and its answer, so that the answers
are those of a store that does one operation after the other. An operation whose outcome is unknown
took effect at any moment after its call, or never.

The search is Wing and Gong's, event by event: it keeps every state that the store can be in, and a
history fails at the first answer that fits none of them.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

Value = tuple[str, int]
"""What the operations see of a pet: its name and age. Every write has a name of its own."""


class Kind(StrEnum):
    CREATE = "create"
    READ = "read"
    CHANGE = "change"
    DELETE = "delete"


class Result(StrEnum):
    DONE = "done"
    MISSING = "missing"
    """There is no such pet."""
    DIFFERS = "differs"
    """The pet is not the expected one, and was left alone."""
    UNKNOWN = "unknown"


class Absent(Enum):
    BEFORE = "not yet created"
    AFTER = "deleted"


State = Value | Absent


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """`value` was written or read. A change or deletion is only for the `expected` pet, if any."""

    kind: Kind
    result: Result
    called: float
    answered: float = math.inf
    value: Value | None = None
    expected: Value | None = None

    @property
    def has_effect(self) -> bool:
        return self.kind is not Kind.READ and self.result in {Result.DONE, Result.UNKNOWN}

    def after(self, state: State) -> State | None:
        """Return the state after this operation. It is None if this state contradicts it."""
        is_expected = not isinstance(state, Absent) and self.expected in {None, state}
        following: State | None = state
        match self.kind, self.result:
            case _, Result.MISSING:
                fits = isinstance(state, Absent)
            case _, Result.DIFFERS:
                fits = not is_expected
            case Kind.READ, _:
                fits = state == self.value
            case Kind.CREATE, _:
                fits = state is Absent.BEFORE
                following = self.value
            case Kind.CHANGE, _:
                fits = is_expected
                following = self.value
            case _:
                fits = is_expected
                following = Absent.AFTER
        return following if fits else None


Possibility = tuple[State, frozenset[Operation]]
"""A state, and those of the open operations that have had their moment."""


def first_contradiction(history: Sequence[Operation]) -> Operation | None:
    """Return the first operation whose answer is impossible; None for a linearizable history."""
    possibilities: set[Possibility] = {(Absent.BEFORE, frozenset())}
    unanswered: set[Operation] = set()
    for operation, is_answer in _events(history):
        if is_answer:
            possibilities = set(_with(operation, possibilities, unanswered))
            unanswered.remove(operation)
            if not possibilities:
                return operation
        elif operation.has_effect or operation.result is not Result.UNKNOWN:
            unanswered.add(operation)
            possibilities = {_observed(one, [operation]) for one in possibilities}
    return None


def _events(history: Sequence[Operation]) -> Iterator[tuple[Operation, bool]]:
    """Yield each operation at its call and, with True, at its answer, in the order of time."""
    events = []
    for operation in history:
        events.append((operation.called, False, operation))
        if operation.answered != math.inf:
            events.append((operation.answered, True, operation))
    # Of two events at one time the call is first. The order is then unknown, and this permits more.
    events.sort(key=lambda event: event[:2])
    for _, is_answer, operation in events:
        yield operation, is_answer


def _observed(possibility: Possibility, operations: Iterable[Operation]) -> Possibility:
    """Give the moment to each of the operations that has no effect and fits the state.

    They need not be tried in any other way, because doing them early forbids nothing.
    """
    state, done = possibility
    without_effect = (each for each in operations if not each.has_effect)
    return state, done.union(each for each in without_effect if each.after(state) is not None)


def _with(
    wanted: Operation, possibilities: set[Possibility], unanswered: set[Operation]
) -> Iterator[Possibility]:
    """Yield the possibilities in which an operation has had its moment, without naming it."""
    stack = list(possibilities)
    tried = set(stack)
    while stack:
        state, done = stack.pop()
        if wanted in done:
            yield state, done - {wanted}
            continue
        for operation in unanswered - done:
            following = operation.after(state) if operation.has_effect else None
            if following is not None:
                possibility = (following, done | {operation})
                possibility = _observed(possibility, unanswered)
                if possibility not in tried:
                    tried.add(possibility)
                    stack.append(possibility)
