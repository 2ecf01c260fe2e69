"""Reads do not wait for writes, however many of those wait for a lock of another process."""

import json
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing
from functools import partial
from typing import NamedTuple

import asyncpg
import pytest
from sqlalchemy import make_url

from pets.bootstrap.stores import migrate
from pets.settings import Settings
from tests.integration.conftest import execute
from tests.integration.served import served

pytestmark = pytest.mark.anyio

BOY = {"name": "boy", "age": 7, "type": "dog"}
CALLERS = 70
"""How many send each kind of write at once. That is more than may wait to go alone."""

ADD = ", ".join(["('boy', 7, 'dog', '2021-05-18 19:10:17')"] * (CALLERS + 1))
ADD = f"INSERT INTO pets (name, age, type, created_at) VALUES {ADD}"

READS = (f"/pets/{CALLERS + 1}", "/pets/?limit=20", "/pets/?limit=500", "/pets/?name=o")


def writes(number: int) -> list[bytes]:
    """Return a request of each kind. Those for one pet are for the pet of this number."""
    return [
        request("PATCH", "/pets/1", {"age": number}),
        request("PATCH", f"/pets/{number}", {"age": 8}),
        request("DELETE", f"/pets/{number}", None, "If-Match: *"),
        request("DELETE", "/pets/", {"ids": [1]}),
        request("POST", "/pets/", BOY),
        request("POST", "/pets/", BOY, f'Idempotency-Key: "{number}"'),
    ]


def request(method: str, path: str, body: object, *headers: str) -> bytes:
    text = "" if body is None else json.dumps(body)
    lines = [f"{method} {path} HTTP/1.1", "Host: pets", f"Content-Length: {len(text)}", *headers]
    if text:
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", text]).encode()


@asynccontextmanager
async def locked_file(url: str) -> AsyncIterator[None]:
    with closing(sqlite3.connect(str(make_url(url).database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@asynccontextmanager
async def locked_by(statement: str, url: str) -> AsyncIterator[None]:
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            await other.execute(statement)
            yield
    finally:
        await other.close()


class Store(NamedTuple):
    url: str
    locked: Callable[[], AbstractAsyncContextManager[None]]
    """Keeps writers waiting."""


LOCKS: dict[str, tuple[str, Callable[[str], AbstractAsyncContextManager[None]]]] = {
    "file": ("sqlite", locked_file),
    "table": ("postgresql", partial(locked_by, "LOCK TABLE pets IN SHARE ROW EXCLUSIVE MODE")),
    "row": ("postgresql", partial(locked_by, "SELECT FROM pets WHERE id = 1 FOR UPDATE")),
}


@pytest.fixture(params=LOCKS)
def store(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> Store:
    kind, locked = LOCKS[request.param]
    url = new_database(kind)
    migrate(Settings(database_url=url))
    if kind == "sqlite":
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            connection.execute(ADD)
            connection.commit()
    else:
        execute(url, ADD)
    return Store(url, partial(locked, url))


@pytest.mark.thorough
async def test_reads_do_not_wait_for_writes_that_wait_for_a_lock(store: Store) -> None:
    with served(store.url) as service, ExitStack() as stack:
        async with store.locked():
            clients = []
            for write in (write for number in range(1, CALLERS + 1) for write in writes(number)):
                client = socket.create_connection(("127.0.0.1", service.port), timeout=10)
                clients.append(stack.enter_context(client))
                client.sendall(write)
            slowest = 0.0
            while not any(map(has_failed, clients)):
                for path in READS:
                    began = time.monotonic()
                    assert service.request("GET", path).status_code == 200
                    slowest = max(slowest, time.monotonic() - began)
        for client in clients:
            client.settimeout(10)
            assert client.recv(65536).startswith(b"HTTP/1.1 ")
    assert slowest < 1  # Other tests may run on this machine, so this is not the usual 10 ms.


def has_failed(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(65536, socket.MSG_PEEK).startswith(b"HTTP/1.1 503 ")
    except BlockingIOError:
        return False
