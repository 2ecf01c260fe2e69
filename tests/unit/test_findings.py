"""The fault suite notices pets that are lost, doubled or strange."""

from tests.faults.client import NOT_DONE, Exchange
from tests.faults.findings import Findings
from tests.faults.linearizability import Kind, Operation, Result, Value
from tests.faults.record import Creation, Record

PET: Value = ("pet 1", 1)
ROW = (7, "pet 1", 1)


def answer(status: int, id_: int = 7, type_: str = "") -> Exchange:
    exchange = Exchange("POST", "/pets/", called=1, is_sent=True, answered=2)
    exchange.status = status
    exchange.document = {"id": id_, "type": type_}
    return exchange


CREATED = answer(201)
NO_ANSWER = answer(0)
REFUSED = answer(503, type_=NOT_DONE)


def record_of(*answers: Exchange) -> Record:
    """Return the record of one creation, which was sent until it had these answers."""
    record = Record()
    creation = Creation(PET, "key", called=1)
    for each in answers:
        creation.note(each)
    record.creations.append(creation)
    record.exchanges += answers
    return record


def findings_of(record: Record, *rows: tuple[int, str, int]) -> Findings:
    findings = Findings("a scenario")
    findings.compare(record, rows)
    return findings


def deleted(record: Record, result: Result) -> Record:
    record.operations[7].append(Operation(Kind.DELETE, result, 3, 4))
    return record


def test_an_acknowledged_pet_that_is_present_is_right() -> None:
    assert findings_of(record_of(CREATED), ROW).complaints == []


def test_an_acknowledged_pet_that_is_absent_is_lost() -> None:
    findings = findings_of(record_of(CREATED))
    assert (findings.lost, findings.not_linearizable) == (1, 1)


def test_an_acknowledged_pet_whose_id_another_one_gets_is_lost() -> None:
    record = record_of(CREATED)
    record.creations += record_of(CREATED).creations
    assert findings_of(record, ROW).lost


def test_an_acknowledged_pet_that_was_deleted_is_not_lost() -> None:
    assert findings_of(deleted(record_of(CREATED), Result.DONE)).complaints == []


def test_an_acknowledged_pet_that_was_perhaps_deleted_is_not_lost() -> None:
    record = record_of(CREATED)
    record.operations[7].append(Operation(Kind.DELETE, Result.UNKNOWN, 3))
    assert findings_of(record).complaints == []


def test_a_pet_without_an_answer_may_be_present_or_absent() -> None:
    assert findings_of(record_of(NO_ANSWER), ROW).complaints == []
    assert findings_of(record_of(NO_ANSWER)).complaints == []


def test_a_pet_that_is_present_twice_is_doubled() -> None:
    assert findings_of(record_of(CREATED), ROW, (8, "pet 1", 1)).doubled == 1
    assert findings_of(record_of(NO_ANSWER), ROW, (8, "pet 1", 1)).doubled == 1


def test_two_ids_for_one_key_are_a_doubled_pet() -> None:
    assert findings_of(record_of(CREATED, answer(201, id_=8)), ROW).doubled == 1


def test_a_pet_that_was_said_to_be_not_done_must_be_absent() -> None:
    assert findings_of(record_of(REFUSED)).complaints == []
    assert findings_of(record_of(REFUSED), ROW).complaints != []


def test_a_pet_that_nobody_asked_for_is_noticed() -> None:
    assert findings_of(record_of(CREATED), ROW, (8, "stranger", 1)).complaints != []
