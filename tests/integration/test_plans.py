"""The databases find pages by the indexes that exist for them.

The file bench/plans.md shows the same plans with ten million pets.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import product

import asyncpg
import pytest

from pets.adapters.sqlalchemy.listing import Shape
from pets.adapters.sqlalchemy.postgresql_session import QUICK_SESSION
from pets.adapters.sqlalchemy.postgresql_statements import STATEMENTS
from pets.adapters.sqlalchemy.sessions import DIALECT
from pets.adapters.sqlalchemy.statements import compiled
from pets.domain.pet import PetType
from pets.domain.query import PetQuery, PetSort, Position
from tests.integration.conftest import execute
from tests.plans import explain, explain_on_sqlite, scans

pytestmark = pytest.mark.anyio

FILL = """
    INSERT INTO pets (name, age, type, created_at)
    SELECT 'pet ' || i, i % 101, CASE WHEN i % 10000 = 0 THEN 'cat' ELSE 'dog' END,
        timestamptz '2021-05-18 19:10:17+00' + i * interval '1 second'
    FROM generate_series(1, 100000) AS i
"""
FILL_KEYS = """
    INSERT INTO pet_keys
    SELECT 'key ' || i, i, 'boy', 7, 'dog', now() - i * interval '1 second'
    FROM generate_series(1, 100000) AS i
"""
INDEXES = {
    PetSort.ID: "pets_pkey",
    PetSort.NAME: "pets_by_name",
    PetSort.AGE: "pets_by_age",
    PetSort.CREATED_AT: "pets_by_created_at",
}
OLDEST = datetime.fromisoformat("2021-05-18T19:12:00")
LATER = datetime.fromisoformat("2021-05-19T19:12:00")
NEWEST = datetime.fromisoformat("2021-05-19T22:55:00")
"""Pets are created each second from 2021-05-18T19:10:18 to 2021-05-19T22:56:57."""

POSITIONS = {
    PetSort.ID: Position(99_000, 99_000),
    PetSort.NAME: Position("pet 99000", 99_000),
    PetSort.AGE: Position(100, 99_000),
    PetSort.CREATED_AT: Position(datetime.fromisoformat("2021-05-19T22:00:00"), 99_000),
}


@pytest.fixture(scope="module")
def filled_url(postgresql_url: str) -> str:
    execute(postgresql_url, FILL, "VACUUM (ANALYZE) pets")
    return postgresql_url


def listings() -> Iterator[PetQuery]:
    """Yield a query of each shape, whose filters leave most pets."""
    for type_, age_min, sort in product((None, PetType.DOG), (None, 5), PetSort):
        for descending, after in product((False, True), (None, POSITIONS[sort])):
            yield PetQuery(
                type=type_, age_min=age_min, sort=sort, descending=descending, after=after
            )


def shown(query: PetQuery) -> str:
    return "-".join(map(str, Shape.of(query)))


def pets_scans(plan: list[str]) -> list[str]:
    return [scan for scan in scans(plan) if "pet_counts" not in scan]


@pytest.mark.parametrize("query", list(listings()), ids=shown)
async def test_a_page_of_many_matches_is_read_from_the_index_of_its_order(
    filled_url: str, query: PetQuery
) -> None:
    plan = await explain(filled_url, query)
    assert not any("Seq Scan on pets" in line or "Bitmap" in line for line in plan)
    (scan,) = pets_scans(plan)
    indexes = [INDEXES[query.sort]]
    if query.type and query.sort is PetSort.ID:
        indexes.append("pets_by_type")  # It has the pets of each type in the order of ids.
    assert scan in [f"Index Scan {index}" for index in indexes]
    if query.after:
        condition = "id " if query.sort is PetSort.ID else "(ROW("
        assert any("Index Cond: " in line and condition in line for line in plan)


@pytest.mark.parametrize("sort", PetSort)
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (PetQuery(type=PetType.CAT), "pets_by_type"),
        (PetQuery(age_min=100, limit=1000), "pets_by_age"),
        (PetQuery(age_min=100, age_max=0), "pets_by_age"),
    ],
    ids=["rare type", "rare age", "no age"],
)
async def test_few_matches_are_gathered_by_the_index_of_their_filter(
    filled_url: str, query: PetQuery, index: str, sort: PetSort
) -> None:
    plan = await explain(filled_url, replace(query, sort=sort))
    assert pets_scans(plan) == [f"Index Scan {index}"]


@pytest.mark.parametrize("sort", PetSort)
async def test_a_part_of_a_name_is_searched_for_in_the_table(
    filled_url: str, sort: PetSort
) -> None:
    plan = await explain(filled_url, PetQuery(name="1234", sort=sort))
    assert scans(plan) == ["Seq Scan pets", "Seq Scan pets"]


@pytest.mark.parametrize("sort", PetSort)
async def test_a_part_of_a_name_with_an_age_uses_the_index_of_ages(
    filled_url: str, sort: PetSort
) -> None:
    plan = await explain(filled_url, PetQuery(name="1234", age_min=100, sort=sort))
    indexes = set(re.findall(r"pets_by\w+", "\n".join(scans(plan))))
    assert indexes == {"pets_by_age"}


@pytest.mark.parametrize("sort", PetSort)
@pytest.mark.parametrize(
    "filters",
    [PetQuery(), PetQuery(type=PetType.DOG), PetQuery(age_min=5, name="1", created_to=LATER)],
    ids=["alone", "with a type", "with more"],
)
@pytest.mark.parametrize("number", [1, 1000])
async def test_ids_are_found_by_the_primary_key(
    filled_url: str, filters: PetQuery, number: int, sort: PetSort
) -> None:
    ids = frozenset(range(50, 100_000, 100_000 // number))
    plan = await explain(filled_url, replace(filters, ids=ids, sort=sort))
    assert set(pets_scans(plan)) <= {"Index Scan pets_pkey", "Index Only Scan pets_pkey"}


@pytest.mark.parametrize("sort", PetSort)
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (PetQuery(name_is="pet 50000"), "pets_by_name"),
        (PetQuery(name_is="pet 50000", type=PetType.DOG, age_min=5), "pets_by_name"),
        (PetQuery(created_from=NEWEST), "pets_by_created_at"),
        (PetQuery(created_to=OLDEST, type=PetType.DOG), "pets_by_created_at"),
        (PetQuery(created_from=LATER, created_to=LATER, name="pet"), "pets_by_created_at"),
    ],
    ids=["name", "name with more", "newest", "oldest dogs", "second with a name"],
)
async def test_few_names_or_times_are_found_by_their_index(
    filled_url: str, query: PetQuery, index: str, sort: PetSort
) -> None:
    plan = await explain(filled_url, replace(query, sort=sort))
    assert {scan.rpartition(" ")[2] for scan in scans(plan)} <= {index, "pets"}
    assert "Seq Scan pets" not in scans(plan)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("sort", PetSort)
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (PetQuery(ids=frozenset({1})), "INTEGER PRIMARY KEY (rowid=?)"),
        (
            PetQuery(ids=frozenset({1}), name_is="x", created_to=LATER, type=PetType.DOG),
            "INTEGER PRIMARY KEY (rowid=?)",
        ),
        (PetQuery(name_is="x"), "INDEX pets_by_name (name=?)"),
        (
            PetQuery(name_is="x", created_to=LATER, type=PetType.DOG, age_min=5),
            "INDEX pets_by_name (name=?)",
        ),
        (PetQuery(created_from=LATER), "INDEX pets_by_created_at (created_at>? AND created_at<?)"),
        (
            PetQuery(created_to=LATER, type=PetType.DOG, age_min=5, name="x"),
            "INDEX pets_by_created_at (created_at>? AND created_at<?)",
        ),
    ],
    ids=["ids", "ids with more", "name", "name with more", "time", "time with more"],
)
async def test_sqlite_finds_few_pets_by_their_index(
    sqlite_url: str, query: PetQuery, index: str, sort: PetSort, *, after: bool
) -> None:
    position = replace(POSITIONS[sort], id=99_000) if after else None
    plan = await explain_on_sqlite(sqlite_url, replace(query, sort=sort, after=position))
    searches = [line for line in plan if " pets" in line]
    assert len(searches) == 2
    assert all(search.endswith(index) for search in searches)


async def test_clearing_keys_reads_only_the_oldest(filled_url: str) -> None:
    """The plan is the generic one, which does not know how few keys are cleared."""
    driver = await asyncpg.connect(filled_url, server_settings=QUICK_SESSION)
    await driver.execute(FILL_KEYS)
    await driver.execute("ANALYZE pet_keys")
    clear_keys, _ = compiled(STATEMENTS.clear_keys, DIALECT)
    await driver.execute(f"PREPARE clear AS {clear_keys}")
    plan = await driver.fetch("EXPLAIN (ANALYZE, COSTS OFF) EXECUTE clear ('1 day', 10)")
    await driver.close()
    lines = [line for (line,) in plan]
    assert scans(lines) == ["Index Scan pet_keys_by_created_at", "Index Scan pet_keys_pkey"]
    conditions = [line for line in lines if "Index Cond: " in line]
    assert len(conditions) == 2


@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_of_ages_begins_at_its_position(filled_url: str, *, descending: bool) -> None:
    """It must not read all pets whose age is between the filter's bound and the position."""
    position = Position(50, 50_000)
    query = PetQuery(age_min=5, sort=PetSort.AGE, descending=descending, after=position)
    plan = "\n".join(await explain(filled_url, query))
    blocks = [int(number) for number in re.findall(r"shared hit=(\d+)", plan)]
    assert 0 < max(blocks) < 150  # It was 488.
