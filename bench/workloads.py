"""The loads: which requests each consists of, and which servers answer them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from bench import ROWS
from bench.client import http_request, tags, walk
from bench.processes import Server

SEED: Final = 7
"""The requests are the same in every run, and for every server."""

NUMBER: Final = 40_000
"""So many requests are drawn for a load; it begins again after the last one."""

MAX_AGE: Final = 100
MAX_LIMIT: Final = 100
COLLECT_SECONDS: Final = 4
NEXT: Final = "#" * 9
"""Stands for the next number, as load.lua counts."""

NEW: Final = '{"name": "boy", "age": 7, "type": "dog"}'

Requests = Callable[[Server], list[bytes]]


@dataclass(frozen=True)
class Workload:
    name: str
    requests: Requests
    servers: tuple[str, ...]
    writes: bool = False


def always(*requests: bytes) -> Requests:
    return lambda _: list(requests)


def drawn(request: Callable[[Random], bytes]) -> Requests:
    """Return requests that differ from one another."""

    def requests(_: Server) -> list[bytes]:
        random = Random(SEED)
        return [request(random) for _ in range(NUMBER)]

    return requests


def listing(query: str) -> bytes:
    return http_request("GET", f"/pets/?{query}")


def any_pet(random: Random) -> bytes:
    return http_request("GET", f"/pets/{random.randint(1, ROWS)}")


def any_type(random: Random) -> str:
    return f"type={random.choice(['dog', 'cat'])}"


def any_age(random: Random) -> int:
    return random.randint(0, MAX_AGE)


def type_and_limit(random: Random) -> bytes:
    return listing(f"{any_type(random)}&limit={random.randint(1, MAX_LIMIT)}")


def age_by_name(random: Random) -> bytes:
    age = any_age(random)
    limit = random.randint(1, MAX_LIMIT)
    return listing(f"sort=name&age_min={age}&age_max={age}&limit={limit}")


def type_and_ages(random: Random) -> bytes:
    low, high = sorted([any_age(random), any_age(random)])
    return listing(f"{any_type(random)}&age_min={low}&age_max={high}")


def pages(server: Server) -> list[bytes]:
    """Return the pages of a walk, each once and in another order.

    The cursors are the server's own, collected before the load: wrk does not tell a script which
    connection an answer came on, and reading `Link` would cost it more than the request does.
    """
    paths = asyncio.run(walk(server.port, COLLECT_SECONDS))
    Random(SEED).shuffle(paths)
    return [http_request("GET", path) for path in paths]


def patches(server: Server) -> list[bytes]:
    """Return a change of each of many pets, with the tag that the server gave it before."""
    random = Random(SEED)
    ids = list(range(1, ROWS + 1))
    random.shuffle(ids)
    requests = []
    for id_, tag in asyncio.run(tags(server.port, ids, COLLECT_SECONDS)).items():
        body = f'{{"age": {any_age(random)}}}'
        requests.append(http_request("PATCH", f"/pets/{id_}", body, f"If-Match: {tag}"))
    return requests


def deletion(number: int) -> bytes:
    ids = ", ".join([NEXT] * number)
    return http_request("DELETE", "/pets/", f'{{"ids": [{ids}]}}')


_PAGE = listing("limit=20")
_CREATION = http_request("POST", "/pets/", NEW)
_KEYED = http_request("POST", "/pets/", NEW, f'Idempotency-Key: "{NEXT}"')

_MIXTURE = [_PAGE] * 16 + [_CREATION] * 3 + [deletion(1)]

STORES: Final = ("asyncpg", "fastapi", "pets")
ALL: Final = ("ceiling", *STORES)

ONE_PET: Final = Workload("one pet, any id", drawn(any_pet), ALL)
TYPE_AND_LIMIT: Final = Workload("type and limit, varied", drawn(type_and_limit), STORES)
AGE_BY_NAME: Final = Workload("age by name, varied", drawn(age_by_name), STORES)
WALK: Final = Workload("walk along cursors", pages, STORES)
PATCH: Final = Workload("patch with If-Match", patches, STORES, writes=True)
CREATE: Final = Workload("create", always(_CREATION), (*ALL, "before"), writes=True)
CREATE_ONCE: Final = Workload("create with a key", always(_KEYED), (*STORES, "before"), writes=True)
DELETE: Final = Workload("delete 3", always(deletion(3)), (*ALL, "before"), writes=True)
MIXED: Final = Workload("mixed", always(*_MIXTURE), (*ALL, "before"), writes=True)
SAME_20: Final = Workload("same page of 20", always(_PAGE), (*ALL, "before"))
SAME_1000: Final = Workload("same page of 1000", always(listing("limit=1000")), ALL)

VARIED: Final = (ONE_PET, TYPE_AND_LIMIT, AGE_BY_NAME, WALK, PATCH)
WORKLOADS: Final = (*VARIED, CREATE, CREATE_ONCE, DELETE, MIXED, SAME_20, SAME_1000)

FILTERS: Final = (
    Workload("type", drawn(lambda random: listing(any_type(random))), ("pets",)),
    Workload("age_min", drawn(lambda random: listing(f"age_min={any_age(random)}")), ("pets",)),
    Workload("age_max", drawn(lambda random: listing(f"age_max={any_age(random)}")), ("pets",)),
    Workload("type, age_min and age_max", drawn(type_and_ages), ("pets",)),
)
"""Every filter except part of a name."""
