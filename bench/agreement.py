"""All servers must do the same work, or their figures could not be compared."""

import re
from collections.abc import Iterable, Mapping

from bench.processes import Server

NEW = '{"name": "boy", "age": 7, "type": "dog"}'


class Disagreement(Exception):
    """A server answers otherwise than another."""


def agree(servers: Iterable[Server]) -> None:
    """Raise `Disagreement` unless the servers, over the same untouched pets, answer alike to the byte.

    Ids and times of new pets, which must differ, are left out.
    """
    lists = {
        server.name: [server.request("GET", f"/pets/?limit={limit}") for limit in (20, 1000)] for server in servers
    }
    _same(lists)
    _same({server.name: _create_and_delete(server) for server in servers})
    stores = [server for server in servers if server.name != "ceiling"]  # which keeps nothing that could be missing
    _same({server.name: server.request("DELETE", "/pets/", '{"ids": [999999999]}') for server in stores})


def _create_and_delete(server: Server) -> list[object]:
    status, location, body = server.request("POST", "/pets/", NEW)
    id_ = body.removeprefix(b'{"id":').partition(b",")[0].decode()
    pet = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", b"now", body).replace(id_.encode(), b"id")
    deleted = server.request("DELETE", "/pets/", f'{{"ids": [{id_}]}}')
    return [status, location == f"/pets/{id_}", pet, deleted]


def _same(answers: Mapping[str, object]) -> None:
    (first, expected), *others = answers.items()
    for name, answer in others:
        if answer != expected:
            raise Disagreement(f"{name} answers {answer!r:.400}\nwhere {first} answers {expected!r:.400}")
