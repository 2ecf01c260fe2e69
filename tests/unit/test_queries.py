"""Reading the query of a URL, and writing it into links."""

import pytest

from pets.api.http.queries import links, read_ids, read_query
from pets.api.schemas import MAX_IDS
from pets.domain.query import PetQuery


@pytest.mark.parametrize("zeros", [0, 1, 10, 5000])
def test_zeros_in_front_of_a_number_do_not_count(zeros: int) -> None:
    assert read_query(b"limit=" + b"0" * zeros + b"3") == PetQuery(limit=3)
    assert read_query(b"age_min=" + b"0" * zeros + b"70") == PetQuery(age_min=70)


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
