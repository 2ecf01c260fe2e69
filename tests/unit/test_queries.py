"""Reading the query of a URL, and writing it into links."""

from datetime import datetime

import pytest

from pets.api.pages import links
from pets.api.problem_document import MAX_FAULTS
from pets.api.problems import InvalidRequest
from pets.api.queries import read_ids, read_query
from pets.api.schemas import MAX_IDS
from pets.domain.pet import MAX_ID, PetType
from pets.domain.query import PetQuery

TIME = datetime.fromisoformat("2021-05-18T19:10:17")


@pytest.mark.parametrize("zeros", [0, 1, 10, 5000])
def test_zeros_in_front_of_a_number_do_not_count(zeros: int) -> None:
    assert read_query(b"limit=" + b"0" * zeros + b"3") == PetQuery(limit=3)
    assert read_query(b"age_min=" + b"0" * zeros + b"70") == PetQuery(age_min=70)


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        (b"%C3%A9", "\u00e9"),
        ("\u00e9".encode(), "\u00e9"),
        (b"%62%4fy", "bOy"),
        (b"a+b%2Bc", "a b+c"),
        (b"100%", "100%"),
        (b"%zz%4", "%zz%4"),
        (b"a=b", "a=b"),
        (b"b&&", "b"),
    ],
)
def test_a_value_is_decoded_as_forms_encode_it(encoded: bytes, name: str) -> None:
    """As browsers do (https://url.spec.whatwg.org/#urlencoded-parsing)."""
    assert read_query(b"name=" + encoded) == PetQuery(name=name)
    assert read_query(b"%6Eame=" + encoded) == PetQuery(name=name)


def test_a_query_may_name_10000_ids() -> None:
    deletion = read_ids(b"&".join([b"ids=1"] * MAX_IDS))
    assert deletion
    assert len(deletion.ids) == MAX_IDS == 10_000


@pytest.mark.parametrize("name", ["a/b", "a&limit=1", "50%", "X", "#"])
def test_a_link_leads_to_its_own_query(name: str) -> None:
    query = PetQuery(name=name)
    first = links(query, None).removeprefix("</pets/?").removesuffix('>; rel="first"')
    assert read_query(first.encode()) == query
    assert not set("/#<>") & set(first)


@pytest.mark.parametrize(
    "query",
    [
        PetQuery(name_is="a/b &%"),
        PetQuery(created_from=TIME, created_to=TIME, type=PetType.CAT, descending=True),
        PetQuery(ids=frozenset({3, 1, MAX_ID}), limit=1),
        PetQuery(ids=frozenset()),
    ],
)
def test_a_link_has_every_filter(query: PetQuery) -> None:
    first = links(query, None).removeprefix("</pets/?").removesuffix('>; rel="first"')
    assert read_query(first.encode()) == query


@pytest.mark.parametrize("zone", [b"", b"Z"])
def test_a_time_may_end_with_a_z(zone: bytes) -> None:
    assert read_query(b"created_to=2021-05-18T19:10:17" + zone) == PetQuery(created_to=TIME)


def faults_of(query_string: bytes) -> list[tuple[object, str]]:
    with pytest.raises(InvalidRequest) as caught:
        read_query(query_string)
    return [(fault.parameter, fault.detail) for fault in caught.value.faults]


def test_each_bad_parameter_is_named_once() -> None:
    assert faults_of(b"limit=x&limit=y&age_min=101&age_max=101") == [
        ("limit", "must be an integer, 0 or more"),
        ("age_min", "must be an integer from 0 to 100"),
        ("age_max", "must be an integer from 0 to 100"),
    ]


def test_at_most_100_faults_are_named() -> None:
    many = b"&".join(b"x%d=1" % number for number in range(1000))
    assert len(faults_of(many)) == MAX_FAULTS == 100


def test_of_a_long_unknown_name_only_the_beginning_is_shown() -> None:
    ((name, _),) = faults_of(b"x" * 50_000 + b"=1")
    assert name == "x" * 100


def test_reading_ends_at_the_hundredth_fault() -> None:
    """Otherwise thousands of bad parameters would keep the event loop from all else."""
    with pytest.raises(InvalidRequest) as caught:
        read_query(b"limit=x&" * 100 + b"age_min=x")
    assert [fault.parameter for fault in caught.value.faults] == ["limit"]
