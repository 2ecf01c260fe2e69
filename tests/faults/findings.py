"""What the record of a scenario shows, compared with the store and with the promises."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.client import NOT_DONE, OUTCOME_UNKNOWN, Exchange
from tests.faults.linearizability import Kind, Operation, Result, first_contradiction
from tests.faults.record import Creation, Record
from tests.faults.service import REQUEST_TIMEOUT, Usage

Row = tuple[int, str, int]
"""The id, the name and the age of a pet in the store."""

BACK_SECONDS: Final = 2
LATE_SECONDS: Final = 2
MORE_MEGABYTES: Final = 40
MORE_FILES: Final = 30
"""More than that is a leak. The pools of two workers may open fewer connections."""

SHOWN: Final = 3
"""How many examples of what is wrong are shown."""

ALIVE: Final = "/health/live"
READY: Final = "/health/ready"
_MEANINGS: Final = {NOT_DONE, OUTCOME_UNKNOWN}
_PROMISED_STATUSES: Final = {200, 201, 204, 404, 412, 503}
_FAILURES: Final = {0, 500, 503}


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

    def compare(self, record: Record, rows: Sequence[Row]) -> None:
        """Compare the record with the rows that the store has at the end: by sets, by history."""
        self.requests = len(record.exchanges)
        results = Counter(each.result for each in record.exchanges)
        self.acknowledged = results[Result.DONE]
        self._find_lost(record, rows)
        self._find_doubled(record, rows)
        for id_, history in complete_histories(record, rows).items():
            contradiction = first_contradiction(history)
            if contradiction is not None:
                self.not_linearizable += 1
                is_shown = self.not_linearizable <= SHOWN
                self.complain(f"pet {id_}: impossible: {contradiction}", when=is_shown)

    def _find_lost(self, record: Record, rows: Sequence[Row]) -> None:
        present = {id_ for id_, _, _ in rows}
        uses = Counter(id_ for creation in record.creations for id_ in creation.ids)
        for creation in record.creations:
            for id_ in creation.ids:
                is_deleted = any(map(_may_have_deleted, record.operations[id_]))
                # An id that was given twice had been forgotten.
                if uses[id_] > 1 or not (id_ in present or is_deleted):
                    self.lost += 1
                    words = f"lost: {creation.value[0]!r}, id {id_}"
                    self.complain(words, when=self.lost <= SHOWN)

    def _find_doubled(self, record: Record, rows: Sequence[Row]) -> None:
        """Look at the rows whose ids were in no answer. They still have their first names."""
        creations = {}
        ids = set()
        for creation in record.creations:
            ids |= creation.ids
            self.doubled += max(0, len(creation.ids) - 1)
            if creation.may_have_happened:
                creations[creation.value[0]] = creation
        seen: set[Creation] = set()
        for id_, name, _ in rows:
            if id_ in ids:
                continue
            creation_of_row = creations.get(name)
            if creation_of_row is None:
                self.complain(f"nobody asked for {name!r}, or it was said to be not done")
            elif creation_of_row.ids or creation_of_row in seen:
                self.doubled += 1
            else:
                seen.add(creation_of_row)
        self.complain(f"{self.doubled} pets were created twice", when=self.doubled)

    def judge_answers(
        self,
        record: Record,
        *,
        deadline: int = REQUEST_TIMEOUT,
        unanswered: float = 0,
        goes_away: bool = False,
    ) -> None:
        """Check that each answer is in time, and one that is promised.

        At most so many requests may get no answer, besides those that nobody accepts when the
        service `goes_away`.
        """
        everything = [*record.exchanges, *record.polls]
        statuses = Counter(each.status for each in everything)
        self.errors = statuses.pop(500, 0)
        self.complain(f"{self.errors} answers are 500", when=self.errors)
        failures = [each for each in everything if not each.status]
        silent = [each for each in failures if each.is_sent]
        self.complain(f"{len(silent)} requests got no answer", when=len(silent) > unanswered)
        refused = len(failures) - len(silent)
        self.complain(f"{refused} connections failed", when=refused and not goes_away)
        alive = {each.status for each in record.polls if each.path == ALIVE} <= {0, 200}
        self.complain("the service said that it is not alive", when=not alive)
        statuses.pop(0, 0)
        unexpected = statuses.keys() - _PROMISED_STATUSES
        self.complain(f"unexpected statuses: {sorted(unexpected)}", when=unexpected)
        refusals = [each for each in everything if each.status == 503]
        unclear = sum(1 for each in refusals if not each.says_when_to_retry)
        self.complain(f"{unclear} answers of 503 have no Retry-After", when=unclear)
        vague = {each.problem_type for each in refusals} - _MEANINGS
        self.complain(f"503 does not say whether it was done: {vague}", when=vague)
        self.slowest = max(each.seconds for each in everything)
        words = f"the slowest answer came after {self.slowest:.1f} s"
        self.complain(words, when=self.slowest > deadline + LATE_SECONDS)

    def judge_return(self, record: Record, returned: float, limit: float = BACK_SECONDS) -> None:
        """Check how soon after the store's return the service is ready, and reads and writes."""
        reads = _first_success("GET", record.exchanges, returned)
        writes = _first_success("POST", record.exchanges, returned)
        polls = [each for each in record.polls if each.path == READY]
        ready = _first_success("GET", polls, returned)
        self.back_after = max(reads, writes, ready)
        words = f"after the store's return, it read after {reads:.1f} s, "
        words += f"wrote after {writes:.1f} s and was ready after {ready:.1f} s"
        self.complain(words, when=self.back_after > limit)
        failed = 0
        for each in record.exchanges:
            if each.called > returned + limit and each.status in _FAILURES:
                failed += 1
        words = f"{failed} requests failed later than {limit} s after the store's return"
        self.complain(words, when=failed)

    def judge_usage(self, before: Usage, after: Usage) -> None:
        more = after.megabytes - before.megabytes
        self.complain(f"the service takes {more:.0f} MB more", when=more > MORE_MEGABYTES)
        files = after.open_files - before.open_files
        self.complain(f"the service has {files} more files open", when=files > MORE_FILES)


def complete_histories(record: Record, rows: Sequence[Row]) -> dict[int, list[Operation]]:
    """Return all that was done with each pet: its creation, and a last look at the store too."""
    creations = {creation.value: creation for creation in record.creations}
    ids = {id_: creation for creation in record.creations for id_ in creation.ids}
    last = {id_: (name, age) for id_, name, age in rows}
    end = max((each.answered for each in record.exchanges), default=0.0) + 1
    histories = {}
    for id_ in {*ids, *record.operations, *last}:
        result = Result.DONE if id_ in last else Result.MISSING
        look = Operation(Kind.READ, result, end, end + 1, last.get(id_))
        history = [*record.operations[id_], look]
        creation = ids.get(id_)
        if creation is None:  # A read may show the pet of a creation without an answer.
            seen = (creations.get(each.value) for each in history if each.value)
            creation = next((each for each in seen if each and not each.ids), None)
        if creation is not None and creation.may_have_happened:
            history.append(creation.operation)
        histories[id_] = history
    return histories


def _may_have_deleted(operation: Operation) -> bool:
    return operation.kind is Kind.DELETE and operation.has_effect


def _first_success(method: str, exchanges: Iterable[Exchange], since: float) -> float:
    """Return how long after this moment a request of this method first succeeded."""
    soonest = math.inf
    for each in exchanges:
        if each.method == method and each.result is Result.DONE and each.answered > since:
            soonest = min(soonest, each.answered - since)
    return soonest
