"""All servers must do the same work, or their figures could not be compared."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from bench.client import NEXT_PAGE
from bench.processes import Server
from bench.workloads import (
    AGE_BY_NAME,
    CREATE,
    CREATE_ONCE,
    NEW,
    ONE_PET,
    PATCH,
    SAME_20,
    SAME_1000,
    TYPE_AND_LIMIT,
    WALK,
    Workload,
)

COMPARED: Final = 30
"""So many requests of each load that reads."""

PAGES: Final = 3
Ask = Callable[[Server], object]

_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class Disagreement(Exception):
    """A server answers otherwise than another."""


def agree(servers: Iterable[Server]) -> None:
    """Raise `Disagreement` unless the servers, over the same pets, answer alike to the byte.

    Ids and times of new pets, which must differ, are left out. So are tags and cursors, because
    each server chooses their form.
    """
    everyone = list(servers)
    for workload in (ONE_PET, TYPE_AND_LIMIT, AGE_BY_NAME, SAME_20, SAME_1000):
        for request in workload.requests(everyone[0])[:COMPARED]:
            path = request.split()[1].decode()
            _compare(everyone, workload, partial(_get, path))
    _compare(everyone, WALK, _first_pages)
    _compare(everyone, PATCH, _change_and_restore)
    _compare(everyone, CREATE, _create_and_delete)
    _compare(everyone, CREATE_ONCE, _create_once_and_delete)
    # `ceiling` stores nothing, so no pet is missing from it.
    _compare(everyone, CREATE_ONCE, _delete_a_missing_pet)


def _compare(servers: Iterable[Server], workload: Workload, ask: Ask) -> None:
    """Compare what the servers of a load answer."""
    first, *others = [server for server in servers if server.name in workload.servers]
    expected = ask(first)
    for server in others:
        answer = ask(server)
        if answer != expected:
            theirs = f"{server.name} answers {answer!r:.400}"
            raise Disagreement(f"{theirs}\nwhere {first.name} answers {expected!r:.400}")


def _get(path: str, server: Server) -> object:
    answer = server.request("GET", path)
    return answer.status, answer.body


def _first_pages(server: Server) -> object:
    path = "/pets/"
    bodies = []
    for _ in range(PAGES):
        answer = server.request("GET", path)
        bodies.append(answer.body)
        following = NEXT_PAGE.search(answer.headers["link"].encode())
        if following is None:
            break
        path = following[1].decode()
    return bodies


def _change_and_restore(server: Server) -> object:
    tag = server.request("GET", "/pets/1").headers["etag"]
    changed = server.request("PATCH", "/pets/1", '{"age": 55}', If_Match=tag)
    outdated = server.request("PATCH", "/pets/1", '{"age": 56}', If_Match=tag)
    restored = server.request("PATCH", "/pets/1", '{"age": 1}', If_Match=changed.headers["etag"])
    statuses = changed.status, outdated.status, restored.status
    return statuses, changed.body, restored.body, restored.headers["etag"] == tag


def _create_and_delete(server: Server) -> object:
    answer = server.request("POST", "/pets/", NEW)
    id_ = answer.body.removeprefix(b'{"id":').partition(b",")[0].decode()
    pet = _TIME.sub(b"now", answer.body).replace(id_.encode(), b"id")
    deleted = server.request("DELETE", "/pets/", f'{{"ids": [{id_}]}}').body
    return answer.status, answer.headers["location"] == f"/pets/{id_}", pet, deleted


def _create_once_and_delete(server: Server) -> object:
    key = f'"{server.name}"'
    first = server.request("POST", "/pets/", NEW, Idempotency_Key=key)
    second = server.request("POST", "/pets/", NEW, Idempotency_Key=key)
    location = first.headers["location"]
    id_ = location.removeprefix("/pets/")
    deleted = server.request("DELETE", "/pets/", f'{{"ids": [{id_}]}}').body
    is_same = second.body == first.body and second.headers["location"] == location
    return first.status, second.status, is_same, deleted


def _delete_a_missing_pet(server: Server) -> object:
    answer = server.request("DELETE", "/pets/", '{"ids": [999999999]}')
    return answer.status, answer.body
