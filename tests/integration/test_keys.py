"""A request with an `Idempotency-Key` is safe to repeat, whatever happened to the first one."""

import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from secrets import token_hex

import asyncpg
import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.models import pet_keys
from pets.adapters.sqlalchemy.repository import CLEAR_EVERY, SQLAlchemyPetRepository
from pets.domain.pet import NewPet, PetType
from tests.integration.served import Served, served
from tests.integration.test_sqlalchemy import make_keys_older

BOY = {"name": "boy", "age": 7, "type": "dog"}
NEW = NewPet(name="boy", age=7, type=PetType.DOG)
WAITING_FOR_COUNTS = """
    SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pet_counts'::regclass
"""


@pytest.fixture
def key() -> str:
    return token_hex(16)


@pytest.fixture(scope="module")
def service(database_url: str) -> Iterator[Served]:
    with served(database_url, workers=2) as service:
        yield service


def post(service: Served, key: str) -> httpx.Response:
    return service.request("POST", "/pets/", json=BOY, headers={"idempotency-key": key})


def count(service: Served) -> int:
    return int(service.request("GET", "/pets/?limit=0").json()["count"])


def send(service: Served, key: str) -> socket.socket:
    """Send the request, and do not read the answer."""
    body = json.dumps(BOY)
    fields = [
        "host: pets",
        "content-type: application/json",
        f"idempotency-key: {key}",
        f"content-length: {len(body)}",
    ]
    request = "\r\n".join(["POST /pets/ HTTP/1.1", *fields, "", body])
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=10)
    connection.sendall(request.encode())
    return connection


@pytest.mark.thorough
def test_concurrent_requests_to_two_processes_create_one_pet(service: Served, key: str) -> None:
    before = count(service)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: post(service, key), range(40)))
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (201, answers[0].content)
    }
    assert count(service) == before + 1


@pytest.mark.thorough
def test_a_repeat_after_lost_answers_creates_no_second_pet(service: Served, key: str) -> None:
    before = count(service)
    for _ in range(10):
        send(service, key).close()
    assert post(service, key).status_code == 201
    assert count(service) == before + 1


@pytest.mark.thorough
@pytest.mark.anyio
async def test_a_repeat_after_a_killed_process_creates_no_second_pet(
    postgresql_url: str, key: str
) -> None:
    connection = await asyncpg.connect(postgresql_url)
    with served(postgresql_url) as killed:
        before = count(killed)
        async with connection.transaction():
            await connection.execute("LOCK TABLE pet_counts")
            with send(killed, key):
                while not await connection.fetchval(WAITING_FOR_COUNTS):
                    pass
                killed.kill()
    await connection.close()
    with served(postgresql_url) as again:
        first, second = post(again, key), post(again, key)
        assert (first.status_code, first.content) == (201, second.content)
        assert count(again) == before + 1


@pytest.mark.thorough
def test_keys_are_forgotten_after_the_configured_time(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("PETS_IDEMPOTENCY_TTL", "2")
    with served("memory://") as service:
        began = time.monotonic()
        first = post(service, key).json()["id"]
        while post(service, key).json()["id"] == first:
            assert time.monotonic() - began < 10
        assert time.monotonic() - began > 1


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_config(parse_url(database_url)).get_engine()
    yield engine
    await engine.dispose()


@pytest.mark.anyio
async def test_expired_keys_are_deleted_as_new_ones_are_added(
    engine: AsyncEngine, database_url: str
) -> None:
    async with engine.connect() as connection:
        await connection.execute(pet_keys.delete())
    repository = SQLAlchemyPetRepository(engine, key_ttl=timedelta(days=1))
    await repository.add_once({f"old {number}": [NEW] for number in range(2 * CLEAR_EVERY)})
    await make_keys_older(database_url, timedelta(days=1))
    for number in range(CLEAR_EVERY + 1):
        await repository.add_once({f"new {number}": [NEW]})
    async with engine.connect() as connection:
        expired = select(func.count()).where(pet_keys.c.key.startswith("old "))
        assert (await connection.execute(expired)).scalar() == 0
