"""What a request may cost: time in the event loop, and memory that stays behind."""

import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any, Final, NamedTuple

import pytest

from pets.adapters.memory import InMemoryPetRepository
from pets.api.schemas import MAX_IDS
from pets.bootstrap import create_app

pytestmark = pytest.mark.anyio


class Sent(NamedTuple):
    """What became of a request: the status and the body of its answer, and the reads of its own."""

    status: int
    body: bytes
    reads: int


Send = Callable[..., Awaitable[Sent]]


@pytest.fixture(scope="module")
def send() -> Send:
    """Send a request without a server."""
    # Any: ASGI.
    app: Any = create_app(repository=InMemoryPetRepository())

    async def send(
        method: str, path: str, body: bytes = b"", query: bytes = b"", *, ends: bool = True
    ) -> Sent:
        reads = status = 0
        sent = b""

        async def receive() -> dict[str, object]:
            nonlocal reads
            reads += 1
            return {"type": "http.request", "body": body, "more_body": not ends}

        async def answer(message: dict[str, Any]) -> None:
            nonlocal status, sent
            status = message.get("status", status)
            sent = message.get("body", sent)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"pets"), (b"content-type", b"application/json")],
        }
        await app(scope, receive, answer)
        return Sent(status, sent, reads)

    return send


OPERATIONS: Final = {
    "POST": ("/pets/", 1024),
    "PUT": ("/pets/1", 16),
    "PATCH": ("/pets/1", 16),
    "DELETE": ("/pets/", 320),
}
"""The path of each operation that takes a body, and the KiB of the largest body."""


@pytest.mark.parametrize("method", OPERATIONS)
async def test_a_body_is_read_no_further_than_its_limit(send: Send, method: str) -> None:
    path, kib = OPERATIONS[method]
    sent = await send(method, path, b" " * 1024, ends=False)
    assert (sent.status, sent.reads) == (413, kib + 1)


MARKS: Final = "\u0301\u0316"
"""Accents that Unicode's form NFC has in the other order, which takes long if there are many."""

TOKENS: Final = [
    *("5e-324", "1e-308", "2.2250738585072011e-308", "1.5", "1e999", "%d.5", "%de-310"),
    *("0", "-1", "%d", "-%d", "18446744073709551616", "%d" + "9" * 30, "%d" + "9" * 4290),
    *("9" * 4301, "0." + "0" * 800 + "1", "null", "true", "\n", " " * 60 + "1"),
    *(
        '""',
        '"a"',
        '"%d"',
        '"é"',
        '"🐈"',
        f'"{MARKS * 199}"',
        f'"{MARKS * 2000}"',
        r'"\n"',
        r'"\u00e9"',
        r'"\ud83d\ude00"',
        f'"{"x" * 900}"',
    ),
    *("[]", "{}", "[[]]", "[%d]", '{"a":1}', '{"k%d":[]}', "[" * 200 + "]" * 200),
]
"""Parts of JSON. `%d` is another number each time."""

DOCUMENTS: Final = [
    '{"ids":[*]}',
    '{"ids":[*]',
    '{"x":[*]}',
    '{"name":*}',
    '{"ids":*}',
    "[*]",
    "{*}",
    '{"ids":["x",*]}',
    '[{"name":"boy","age":7,"type":"dog"},*]',
    '[{"name":*}]',
]
"""Documents to fill with parts."""


def bodies(seed: int, size: int) -> Iterator[tuple[str, bytes]]:
    """Make bodies up to this size from a few parts each, at random, and describe them."""
    random = Random(seed)
    while True:
        document = random.choice(DOCUMENTS)
        parts = random.choices(TOKENS, k=random.choice([1, 1, 2, 5]))
        head, tail = document.encode().split(b"*")
        name = random.choice(["", '"k%d":', '"ids":', '"%d":']) if document == "{*}" else ""
        space = size - len(head) - len(tail)
        items: list[bytes] = []
        length = 0
        for number in range(1000):
            item = (name + parts[number % len(parts)]).replace("%d", str(10**5 + number)).encode()
            length += len(item) + len(b",")
            if length > space:
                break
            items.append(item)
        items *= max(1, min(space // length, random.choice([MAX_IDS // 1000, size])))
        body = head + b",".join(items) + tail
        yield f"{document} {name} {[part[:30] for part in parts]}", body


MAX_SECONDS: Final = 0.15
"""Of CPU time, on a slow machine. A search of 5,000 bodies found none that takes 40 ms on ours."""


@pytest.fixture
def short_collections() -> Iterator[None]:
    """Leave the objects of the tests out of garbage collection, as a worker does with its own."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("short_collections")
@pytest.mark.parametrize("method", OPERATIONS)
async def test_no_body_takes_long(send: Send, method: str) -> None:
    path, kib = OPERATIONS[method]
    for _, (description, body) in zip(range(250), bodies(0, kib * 1024), strict=False):
        began = time.thread_time()
        sent = await send(method, path, body)
        assert time.thread_time() - began < MAX_SECONDS, description
        assert sent.status in {200, 400}


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/*", ""),
        ("GET", "/pets/*", ""),
        ("GET", "/pets/1/*", ""),
        ("GET", "/pets" + "/" * 50_000 + "*", ""),
        ("GET", "/problems/*", ""),
        ("GET", "/docs/swagger-ui/*", ""),
        ("GET", "/schema/*", ""),
        ("OPTIONS", "/pets/*", ""),
        ("DELETE", "/pets/*", ""),
        ("GET", "/docs", "*"),
        ("GET", "/pets/", "*"),
        ("GET", "/pets/", "limit=*"),
        ("DELETE", "/pets/", "ids=*"),
    ],
)
async def test_no_long_path_or_query_stays_in_memory(
    send: Send, method: str, path: str, query: str
) -> None:
    """Caches with a limited number of entries, such as Litestar's, have no limit of bytes."""

    async def send_different(number: int) -> None:
        digits = str(number).zfill(50_000)
        await send(method, path.replace("*", digits), query=query.replace("*", digits).encode())

    await send_different(0)
    tracemalloc.start()
    try:
        for number in range(1, 31):
            await send_different(number)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000  # of 1,500,000


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/docs/docs.js",
        "/docs/docs.css",
        "/docs/swagger-ui/swagger-ui-bundle.js",
        "/schema",
        "/schema/openapi.json",
    ],
)
async def test_all_answers_share_the_bytes_of_a_document(send: Send, path: str) -> None:
    first, second = await send("GET", path), await send("GET", path)
    assert first.status == 200
    assert second.body is first.body
