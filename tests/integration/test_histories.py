"""Two workers under load, as the fault suite checks them, but without a fault."""

import asyncio

import pytest

from pets.bootstrap.stores import open_store
from pets.domain.query import PetQuery
from pets.settings import Settings
from tests.faults.findings import Findings, Row
from tests.faults.load import Load
from tests.faults.service import served

SECONDS = 2


async def rows(url: str) -> list[Row]:
    found = []
    async with open_store(Settings(database_url=url)) as store:
        async for pets in store.export(PetQuery()):
            found += [(pet.id, pet.name, pet.age) for pet in pets]
    return found


@pytest.mark.thorough
@pytest.mark.anyio
async def test_answers_of_two_workers_fit_one_order_of_events(database_url: str) -> None:
    findings = Findings("no fault")
    async with served(database_url, workers=2) as service:
        load = Load(service.port)
        load.start()
        await asyncio.sleep(SECONDS)
        await load.finish()
    findings.compare(load.record, await rows(database_url))
    findings.judge_answers(load.record)
    assert findings.complaints == []
