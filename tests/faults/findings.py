"""What the record of a scenario shows, compared with the store and with the promises."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.client import NOT_DONE, OUTCOME_UNKNOWN, Exchange
from tests.faults.linearizability import Kind, Operation, Result, first_contradiction
from tests.faults.load import Load
from tests.faults.service import REQUEST_TIMEOUT, Usage

Row = tuple[int, str, int]
"""The id, the name and the age of a pet in the store."""

BACK_SECONDS: Final = 2
LATE_SECONDS: Final = 2
MORE_MEGABYTES: Final = 40
MORE_FILES: Final = 8

ALIVE: Final = "/health/live"
READY: Final = "/health/ready"
_PROMISED_STATUSES: Final = {200, 201, 204, 404, 412, 503}


@dataclass
class Findings:
    """A row of the table, and all that is wrong with it in words."""

    scenario: str
    requests: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    not_linearizable: int = 0
    errors: int = 0
    """Answers of 500."""
    slowest: float = 0
    back_after: float = math.nan
    complaints: list[str] = field(default_factory=list)

    def complain(self, words: str, *, when: object = True) -> None:
        if when:
            self.complaints.append(words)

    def compare(self, load: Load, rows: Sequence[Row]) -> None:
        """Compare the record with the rows that the store has at the end: by sets, by history."""
        self.requests = len(load.exchanges)
        self.acknowledged = sum(1 for each in load.exchanges if each.result is Result.DONE)
        self._compare_sets(load, rows)
        self._compare_histories(load, rows)
        self.complain(f"{self.lost} acknowledged pets are lost", when=self.lost)
        self.complain(f"{self.doubled} pets were created twice", when=self.doubled)
        number = self.not_linearizable
        self.complain(f"the histories of {number} pets are not linearizable", when=number)

    def _compare_sets(self, load: Load, rows: Sequence[Row]) -> None:
        present = {id_ for id_, _, _ in rows}
        acknowledged = set()
        may_be_present: dict[str, int] = {}
        for creation in load.creations:
            acknowledged |= creation.ids
            self.doubled += max(0, len(creation.ids) - 1)
            if creation.may_have_happened and not creation.ids:
                may_be_present[creation.value[0]] = 1
        may_be_deleted = set()
        for id_, operations in load.operations.items():
            for operation in operations:
                if operation.kind is Kind.DELETE and operation.has_effect:
                    may_be_deleted.add(id_)
        lost = acknowledged - present - may_be_deleted
        self.lost = len(lost)
        self.complain(f"lost: {sorted(lost)[:5]}", when=lost)
        first_names = {
            creation.value[0] for creation in load.creations if creation.may_have_happened
        }
        for id_, name, _ in rows:
            if id_ in acknowledged:
                continue
            if may_be_present.get(name):
                may_be_present[name] = 0
            elif name in first_names:
                self.doubled += 1
                self.complain(f"doubled: {name!r}")
            else:
                self.complain(f"nobody asked for {name!r}, or it was said to be not done")

    def _compare_histories(self, load: Load, rows: Sequence[Row]) -> None:
        histories = complete_histories(load, rows)
        for id_, history in histories.items():
            contradiction = first_contradiction(history)
            if contradiction is not None:
                self.not_linearizable += 1
                self.complain(
                    f"pet {id_}: impossible: {contradiction}", when=self.not_linearizable < 4
                )

    def judge_answers(self, load: Load, *, may_be_unanswered: bool = False) -> None:
        """Check that each answer is in time, and one that is promised."""
        everything = [*load.exchanges, *load.polls]
        self.errors = sum(1 for each in everything if each.status == 500)
        self.complain(f"{self.errors} answers are 500", when=self.errors)
        self.slowest = max(each.seconds for each in everything)
        longest = REQUEST_TIMEOUT + LATE_SECONDS
        self.complain(
            f"the slowest answer came after {self.slowest:.1f} s", when=self.slowest > longest
        )
        statuses = {each.status for each in everything} - _PROMISED_STATUSES - {500, 0}
        self.complain(f"unexpected statuses: {sorted(statuses)}", when=statuses)
        unanswered = sum(1 for each in everything if each.status == 0)
        if not may_be_unanswered:
            self.complain(f"{unanswered} requests got no answer", when=unanswered)
            alive = all(each.status == 200 for each in load.polls if each.path == ALIVE)
            self.complain("the service said that it is not alive", when=not alive)
        vague = {each.problem_type for each in load.exchanges if each.status == 503}
        vague -= {NOT_DONE, OUTCOME_UNKNOWN}
        self.complain(f"503 does not say whether it was done: {sorted(vague)}", when=vague)
        silent = sum(1 for each in everything if each.status == 503 and not each.says_when_to_retry)
        self.complain(f"{silent} answers of 503 have no Retry-After", when=silent)

    def judge_return(self, load: Load, returned: float) -> None:
        """Check how soon after the store's return the service is ready, and reads and writes."""
        reads = [each for each in load.exchanges if each.method == "GET"]
        writes = [each for each in load.exchanges if each.method == "POST"]
        ready = [each for each in load.polls if each.path == READY]
        back = [_first_success(each, returned) for each in (reads, writes, ready)]
        self.back_after = max(back)
        words = f"after the store's return, it read after {back[0]:.1f} s, "
        words += f"wrote after {back[1]:.1f} s and was ready after {back[2]:.1f} s"
        self.complain(words, when=self.back_after > BACK_SECONDS)
        late = returned + BACK_SECONDS
        failed = sum(1 for each in load.exchanges if each.called > late and each.status in {0, 503})
        self.complain(
            f"{failed} requests failed later than 2 s after the store's return", when=failed
        )

    def judge_usage(self, before: Usage, after: Usage) -> None:
        more = after.megabytes - before.megabytes
        self.complain(f"the service takes {more:.0f} MB more", when=more > MORE_MEGABYTES)
        files = after.open_files - before.open_files
        self.complain(f"the service has {files} more files open", when=files > MORE_FILES)


def complete_histories(load: Load, rows: Sequence[Row]) -> dict[int, list[Operation]]:
    """Return all that was done with each pet: its creation, and a last look at the store too."""
    creations = {creation.value: creation for creation in load.creations}
    ids = {id_: creation for creation in load.creations for id_ in creation.ids}
    last = {id_: (name, age) for id_, name, age in rows}
    end = max((each.answered for each in load.exchanges), default=0.0) + 1
    histories = {}
    for id_ in {*ids, *load.operations, *last}:
        history = list(load.operations[id_])
        if id_ in last:
            history.append(Operation(Kind.READ, Result.DONE, end, end + 1, last[id_]))
        else:
            history.append(Operation(Kind.READ, Result.MISSING, end, end + 1))
        creation = ids.get(id_)
        if creation is None:  # Perhaps a read shows the pet of a creation without an answer.
            seen = (creations.get(each.value) for each in history if each.value)
            creation = next((each for each in seen if each and not each.ids), None)
        if creation is not None and creation.may_have_happened:
            result = Result.DONE if creation.ids else Result.UNKNOWN
            answered = creation.answered if creation.ids else math.inf
            history.append(
                Operation(Kind.CREATE, result, creation.called, answered, creation.value)
            )
        histories[id_] = history
    return histories


def _first_success(exchanges: Iterable[Exchange], since: float) -> float:
    """Return how long after this moment the first request was answered as it should be."""
    times = [each.answered for each in exchanges if 200 <= each.status < 300]
    return min((time - since for time in times if time > since), default=math.inf)
