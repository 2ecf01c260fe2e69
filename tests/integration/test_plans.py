"""PostgreSQL finds pages by the indexes that exist for them.

The file bench/plans.md shows the same plans with ten million pets.
"""

import re
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.domain.pet import PetType
from pets.domain.query import PetQuery, PetSort, Position
from tests.integration.conftest import execute
from tests.plans import explain, scans

pytestmark = pytest.mark.anyio

FILL = """
    INSERT INTO pets (name, age, type, created_at)
    SELECT 'pet ' || i, i % 101, CASE WHEN i % 10000 = 0 THEN 'cat' ELSE 'dog' END,
        timestamptz '2021-05-18 19:10:17+00' + i * interval '1 second'
    FROM generate_series(1, 100000) AS i
"""
INDEXES = {
    PetSort.ID: "pets_pkey",
    PetSort.NAME: "pets_by_name",
    PetSort.AGE: "pets_by_age",
    PetSort.CREATED_AT: "pets_by_created_at",
}
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


@pytest.fixture
async def connection(filled_url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_config(parse_url(filled_url)).get_engine()
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", PetSort)
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("type_", [None, PetType.DOG])
async def test_a_page_is_read_from_the_index_of_its_order(
    connection: AsyncConnection,
    sort: PetSort,
    type_: PetType | None,
    *,
    descending: bool,
    is_last: bool,
) -> None:
    after = POSITIONS[sort] if is_last else None
    plan = await explain(
        connection, PetQuery(type=type_, sort=sort, descending=descending, after=after)
    )
    *counts, pets = scans(plan)
    assert counts
    assert all("Scan pet_counts" in count for count in counts)
    assert pets == f"Index Scan {INDEXES[sort]}"
    if after:
        condition = "(id" if sort is PetSort.ID else "(ROW("
        conditions = [line for line in plan if "Index Cond: " in line]
        assert any(condition in line for line in conditions)


async def test_pets_of_a_rare_type_are_found_by_the_index_of_types(
    connection: AsyncConnection,
) -> None:
    plan = await explain(connection, PetQuery(type=PetType.CAT))
    assert scans(plan)[1:] == ["Index Scan pets_by_type"]


@pytest.mark.parametrize("type_", [None, PetType.DOG])
async def test_pets_of_an_age_are_counted_and_found_by_one_index(
    connection: AsyncConnection, type_: PetType | None
) -> None:
    plan = await explain(connection, PetQuery(type=type_, age_min=99, sort=PetSort.AGE))
    assert scans(plan) == ["Index Only Scan pets_by_age", "Index Scan pets_by_age"]


@pytest.mark.parametrize("sort", PetSort)
async def test_a_part_of_a_name_is_searched_for_in_the_table(
    connection: AsyncConnection, sort: PetSort
) -> None:
    plan = await explain(connection, PetQuery(name="1234", sort=sort))
    assert scans(plan) == ["Seq Scan pets", "Seq Scan pets"]


@pytest.mark.parametrize("sort", PetSort)
async def test_a_part_of_a_name_with_an_age_uses_the_index_of_ages(
    connection: AsyncConnection, sort: PetSort
) -> None:
    plan = await explain(connection, PetQuery(name="1234", age_min=100, sort=sort))
    indexes = set(re.findall(r"pets_by\w+", "\n".join(scans(plan))))
    assert indexes == {"pets_by_age"}
