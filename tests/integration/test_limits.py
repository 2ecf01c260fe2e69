"""The sizes and numbers of `docs/limits.md`: what they allow, and what is beyond them."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pets.adapters.memory import InMemoryPetRepository
from pets.api.body import MAX_BODY_BYTES
from pets.api.problem_document import MAX_FAULTS
from pets.api.records import MAX_RECORD_BYTES
from pets.api.schemas import MAX_DIGITS, MAX_IDS_BYTES, MAX_LIMIT, MAX_NEW_PETS, MAX_NEW_PETS_BYTES
from pets.cli.main import main
from pets.domain.pet import MAX_ID, NewPet, PetType
from pets.domain.repository import Numbered
from pets.serving.heads import MAX_FIELDS, MAX_HEAD_BYTES
from pets.settings import Settings, SettingsError
from tests.integration.serving.connections import Server

pytestmark = pytest.mark.anyio

BOY = NewPet(name="boy", age=7, type=PetType.DOG)
MEMBERS = {"name": "boy", "age": 7, "type": "dog"}


@pytest.fixture
async def repository() -> InMemoryPetRepository:
    return InMemoryPetRepository()


@pytest.fixture
async def server(repository: InMemoryPetRepository) -> Server:
    return Server(repository)


def head(line: str, *fields: str) -> bytes:
    common = ("Host: pets", "Connection: close", "Content-Type: application/json")
    return "\r\n".join([f"{line} HTTP/1.1", *common, *fields, "", ""]).encode()


def with_body(line: str, body: bytes, *fields: str) -> bytes:
    return head(line, f"Content-Length: {len(body)}", *fields) + body


def in_chunks(line: str, body: bytes) -> bytes:
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return head(line, "Transfer-Encoding: chunked") + chunk


def create(**members: object) -> bytes:
    return with_body("POST /pets/", json.dumps(MEMBERS | members).encode())


def pet_of_size(size: int) -> bytes:
    return json.dumps(MEMBERS).encode().ljust(size)


class Size(NamedTuple):
    """A request of any size, the largest that is allowed, and the statuses up to it and above."""

    request: Callable[[int], bytes]
    limit: int
    good: int
    bad: int


def key(text: str) -> bytes:
    return with_body("POST /pets/", json.dumps(MEMBERS).encode(), f"Idempotency-Key: {text}")


def deletion(number: int) -> bytes:
    return with_body("DELETE /pets/", json.dumps({"ids": list(range(number))}).encode())


SIZES = {
    "a body": Size(
        lambda size: with_body("PUT /pets/1", pet_of_size(size)), MAX_BODY_BYTES, 404, 413
    ),
    "a body in chunks": Size(
        lambda size: in_chunks("PUT /pets/1", pet_of_size(size)), MAX_BODY_BYTES, 404, 413
    ),
    "a body with new pets": Size(
        lambda size: with_body("POST /pets/", b"[%b]" % pet_of_size(size - len(b"[]"))),
        MAX_NEW_PETS_BYTES,
        201,
        413,
    ),
    "new pets": Size(
        lambda number: with_body(
            "POST /pets/", b"[" + b",".join([pet_of_size(50)] * number) + b"]"
        ),
        MAX_NEW_PETS,
        201,
        400,
    ),
    "a body with ids": Size(
        lambda size: with_body("DELETE /pets/", b'{"ids": [1]}'.ljust(size)),
        MAX_IDS_BYTES,
        200,
        413,
    ),
    "a body with ids in chunks": Size(
        lambda size: in_chunks("DELETE /pets/", b'{"ids": [1]}'.ljust(size)),
        MAX_IDS_BYTES,
        200,
        413,
    ),
    "digits of an id": Size(
        lambda number: with_body("DELETE /pets/", b'{"ids": [%s]}' % (b"9" * number)),
        MAX_DIGITS,
        200,
        400,
    ),
    "digits of an id in a query": Size(
        lambda number: head(f"DELETE /pets/?ids={'9' * number}"), MAX_DIGITS, 200, 400
    ),
    "a name": Size(lambda length: create(name="x" * length), 100, 201, 400),
    "an age": Size(lambda age: create(age=age), 100, 201, 400),
    "a part of a name": Size(lambda length: head(f"GET /pets/?name={'x' * length}"), 100, 200, 400),
    "the least age": Size(lambda age: head(f"GET /pets/?age_min={age}"), 100, 200, 400),
    "the greatest age": Size(lambda age: head(f"GET /pets/?age_max={age}"), 100, 200, 400),
    "a key": Size(lambda length: key("k" * length), 255, 201, 400),
    "a key in quotes": Size(lambda length: key(f'"{"k" * length}"'), 255, 201, 400),
    "ids": Size(deletion, 10_000, 200, 400),
    "ids of a listing": Size(
        lambda number: head(f"GET /pets/?{'&'.join(['ids=1'] * number)}"), 1000, 200, 400
    ),
    "ids in a query": Size(
        lambda number: head(f"DELETE /pets/?{'&'.join(['ids=1'] * number)}"), 10_000, 200, 400
    ),
}


@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_a_limit_allows_all_up_to_it_and_nothing_beyond(
    server: Server, size: Size, beyond: int
) -> None:
    (answer,) = await server.exchange(size.request(size.limit + beyond))
    assert answer.status == (size.bad if beyond > 0 else size.good)


async def test_a_body_has_room_for_10000_of_the_longest_ids_in_lines(server: Server) -> None:
    ids = range(-MAX_ID, -MAX_ID + 10_000)
    body = json.dumps({"ids": list(ids)}, indent=4).encode()
    (answer,) = await server.exchange(with_body("DELETE /pets/", body))
    assert answer.status == 200


@pytest.mark.parametrize("age", [-1, 0])
async def test_an_age_begins_at_0(server: Server, age: int) -> None:
    (answer,) = await server.exchange(create(age=age))
    assert answer.status == (400 if age < 0 else 201)


@pytest.mark.parametrize(
    ("id_", "status"), [(0, 404), (1, 200), (MAX_ID - 1, 200), (MAX_ID, 200), (MAX_ID + 1, 404)]
)
async def test_an_id_is_from_1_to_the_largest_of_64_bits(
    server: Server, repository: InMemoryPetRepository, id_: int, status: int
) -> None:
    async def pets() -> AsyncIterator[Numbered]:
        yield [(number, BOY.with_id(number)) for number in (1, MAX_ID - 1, MAX_ID)]

    await repository.load(pets(), skip_taken=False)
    (answer,) = await server.exchange(head(f"GET /pets/{id_}"))
    assert answer.status == status


@pytest.mark.parametrize("limit", [MAX_LIMIT - 1, MAX_LIMIT, MAX_LIMIT + 1])
async def test_a_page_has_at_most_1000_pets(
    server: Server, repository: InMemoryPetRepository, limit: int
) -> None:
    await repository.add([BOY] * (MAX_LIMIT + 2))
    (answer,) = await server.exchange(head(f"GET /pets/?limit={limit}"))
    assert len(answer.document["items"]) == min(limit, MAX_LIMIT)


@pytest.mark.parametrize("number", [MAX_FAULTS - 1, MAX_FAULTS, MAX_FAULTS + 1])
async def test_a_problem_lists_at_most_100_faults(server: Server, number: int) -> None:
    body = json.dumps({"ids": ["x"] * number}).encode()
    (answer,) = await server.exchange(with_body("DELETE /pets/", body))
    assert len(answer.document["errors"]) == min(number, MAX_FAULTS)


@pytest.mark.parametrize(
    ("size", "status"), [(MAX_HEAD_BYTES, 201), (MAX_HEAD_BYTES + 2 * 16 * 1024, 431)]
)
async def test_trailers_may_have_at_least_64_kib(server: Server, size: int, status: int) -> None:
    """They are measured in parts of 2 KiB, so a little more passes too."""
    body = in_chunks("POST /pets/", pet_of_size(100)).removesuffix(b"\r\n")
    trailers = b"X: ".ljust(size - len(b"\r\n\r\n"), b"x") + b"\r\n\r\n"
    (answer,) = await server.exchange(body, trailers)
    assert answer.status == status


@pytest.mark.parametrize("beyond", [-1, 0, 1])
async def test_a_head_may_have_100_fields(server: Server, beyond: int) -> None:
    others = head("GET /pets/").count(b"\r\n") - 2
    sent = head("GET /pets/", *["X: y"] * (MAX_FIELDS - others + beyond))
    (answer,) = await server.exchange(sent)
    assert answer.status == (431 if beyond > 0 else 200)


@pytest.mark.parametrize("beyond", [-1, 0, 1])
async def test_trailers_may_have_100_fields(server: Server, beyond: int) -> None:
    body = in_chunks("POST /pets/", pet_of_size(100)).removesuffix(b"\r\n")
    (answer,) = await server.exchange(body + b"X: y\r\n" * (MAX_FIELDS + beyond) + b"\r\n")
    assert answer.status == (431 if beyond > 0 else 201)


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\n", in_chunks("POST /pets/", pet_of_size(100))[:-2]]
)
async def test_too_many_fields_are_refused_before_they_end(server: Server, start: bytes) -> None:
    (answer,) = await server.exchange(start + b"X: y\r\n" * (MAX_FIELDS + 2))
    assert answer.status == 431


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_record_of_an_import_may_have_1_mib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'pets.db'}")
    file = tmp_path / "pets.ndjson"
    file.write_bytes(pet_of_size(MAX_RECORD_BYTES + beyond) + b"\n")
    assert main(["migrate"]) == 0
    assert main(["import", str(file)]) == (1 if beyond > 0 else 0)


SETTINGS = {
    "PETS_PORT": (0, 65_535),
    "PETS_REQUEST_TIMEOUT": (1, 600),
    "PETS_STARTUP_TIMEOUT": (0, 3600),
    "PETS_IDEMPOTENCY_TTL": (1, 366 * 24 * 60 * 60),
}


@pytest.mark.parametrize("variable", SETTINGS)
def test_a_setting_has_bounds(variable: str) -> None:
    lowest, highest = SETTINGS[variable]
    for value in (lowest, lowest + 1, highest - 1, highest):
        Settings.from_environment({variable: str(value)})
    for value in (lowest - 1, highest + 1):
        with pytest.raises(SettingsError, match=variable):
            Settings.from_environment({variable: str(value)})
