"""The checker of the fault suite knows good histories from bad ones."""

import math
import random
import time
from itertools import count

import pytest

from tests.faults.linearizability import Kind, Operation, Result, Value, first_contradiction

FIRST: Value = ("first", 1)
SECOND: Value = ("second", 2)
THIRD: Value = ("third", 3)


def create(called: float, answered: float, value: Value = FIRST) -> Operation:
    return Operation(Kind.CREATE, Result.DONE, called, answered, value)


def read(called: float, answered: float, value: Value) -> Operation:
    return Operation(Kind.READ, Result.DONE, called, answered, value)


def miss(called: float, answered: float, kind: Kind = Kind.READ) -> Operation:
    return Operation(kind, Result.MISSING, called, answered)


def change(
    called: float,
    answered: float,
    expected: Value | None,
    value: Value,
    result: Result = Result.DONE,
) -> Operation:
    return Operation(Kind.CHANGE, result, called, answered, value, expected)


def lost_change(called: float, expected: Value, value: Value) -> Operation:
    return change(called, math.inf, expected, value, Result.UNKNOWN)


def delete(called: float, answered: float, expected: Value | None = None) -> Operation:
    return Operation(Kind.DELETE, Result.DONE, called, answered, expected=expected)


def lost_delete(called: float) -> Operation:
    return Operation(Kind.DELETE, Result.UNKNOWN, called)


def lost_create(called: float) -> Operation:
    return Operation(Kind.CREATE, Result.UNKNOWN, called, value=FIRST)


GOOD = {
    "one after the other": [create(0, 1), read(2, 3, FIRST), delete(4, 5), miss(6, 7)],
    "a read during the creation may miss": [create(0, 5), miss(1, 2), read(3, 4, FIRST)],
    "a read during a change may see either": [
        create(0, 1),
        change(2, 9, FIRST, SECOND),
        read(3, 4, FIRST),
        read(5, 6, SECOND),
    ],
    "a change that was refused": [
        create(0, 1),
        change(2, 3, FIRST, SECOND),
        change(4, 5, FIRST, THIRD, Result.DIFFERS),
        read(6, 7, SECOND),
    ],
    "a lost change that happened late": [
        create(0, 1),
        lost_change(2, FIRST, SECOND),
        read(3, 4, FIRST),
        read(5, 6, SECOND),
    ],
    "a lost change that never happened": [
        create(0, 1),
        lost_change(2, FIRST, SECOND),
        change(3, 4, FIRST, THIRD),
        read(5, 6, THIRD),
    ],
    "a lost deletion that happened": [create(0, 1), lost_delete(2), miss(3, 4)],
    "a lost creation that is seen": [lost_create(0), miss(1, 2), read(3, 4, FIRST)],
    "two changes whose order only reads tell": [
        create(0, 1),
        change(2, 9, None, SECOND),
        change(2, 9, None, THIRD),
        read(3, 5, THIRD),
        read(6, 8, SECOND),
        read(10, 11, SECOND),
    ],
}

BAD = {
    "an acknowledged creation that is lost": [create(0, 1), miss(2, 3)],
    "an old read after an acknowledged change": [
        create(0, 1),
        change(2, 3, FIRST, SECOND),
        read(4, 5, FIRST),
    ],
    "two changes of the same pet, both with its tag": [
        create(0, 1),
        change(2, 5, FIRST, SECOND),
        change(3, 6, FIRST, THIRD),
    ],
    "a read that goes back": [
        create(0, 1),
        change(2, 9, FIRST, SECOND),
        read(3, 4, SECOND),
        read(5, 6, FIRST),
    ],
    "a value that nobody wrote": [create(0, 1), read(2, 3, SECOND)],
    "a refused change that happened": [
        create(0, 1),
        change(2, 3, FIRST, SECOND, Result.DIFFERS),
        read(4, 5, SECOND),
    ],
    "a deleted pet that comes back": [create(0, 1), delete(2, 3), read(4, 5, FIRST)],
    "two deletions that both succeed": [create(0, 1), delete(2, 5), delete(3, 6)],
    "a deletion that finds nothing though the pet was left": [
        create(0, 1),
        miss(2, 3, Kind.DELETE),
        read(4, 5, FIRST),
    ],
    "a pet that is created twice": [create(0, 1), delete(2, 3), create(4, 5)],
    "a lost change that happens before its call": [
        create(0, 1),
        read(2, 3, SECOND),
        lost_change(4, FIRST, SECOND),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_linearizable_history_passes(name: str) -> None:
    assert first_contradiction(GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_an_impossible_history_fails(name: str) -> None:
    assert first_contradiction(BAD[name]) is not None


def long_history(chance: random.Random, length: int) -> list[Operation]:
    """Return the history of a store whose operations overlap, a tenth of them unanswered."""
    history = [create(0, 1)]
    value = FIRST
    ages = count(10)
    for moment in range(2, length):
        called = moment - chance.uniform(0, 20)
        answered = moment + chance.uniform(0, 20)
        if chance.random() < 0.6:
            history.append(read(max(called, 1.5), answered, value))
            continue
        following = (f"pet {moment}", next(ages))
        if chance.random() < 0.1:
            history.append(lost_change(max(called, 1.5), value, following))
        else:
            history.append(change(max(called, 1.5), answered, value, following))
        value = following
    return history


def test_a_long_history_of_many_clients_is_checked_quickly() -> None:
    history = long_history(random.Random(1), 1_000)
    begin = time.process_time()
    assert first_contradiction(history) is None
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("seed", range(20))
def test_one_old_read_in_a_long_history_is_found(seed: int) -> None:
    chance = random.Random(seed)
    history = long_history(chance, 200)
    history.append(read(500, 501, history[100].value or FIRST))
    assert first_contradiction(history) is history[-1]
