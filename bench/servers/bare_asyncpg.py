"""`asyncpg`: an ASGI callable, an asyncpg pool and msgspec, no framework.

The least that a hand can write.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

import asyncpg
from msgspec import UNSET, DecodeError
from msgspec.json import Decoder, Encoder, decode

from bench.servers.counts import count, where
from bench.servers.structs import (
    DeleteError,
    Pet,
    PetCreate,
    PetPage,
    PetsDelete,
    PetsDeleted,
    PetUpdate,
)

Message = dict[str, Any]  # Any: as ASGI defines its messages
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, bytes, Headers]

FILTERS = {"type": "type = ${}", "age_min": "age >= ${}", "age_max": "age <= ${}"}
ORDERS = {"id": ["id"], "name": ["name", "id"]}

# created_at without an offset, because msgspec shall write it so.
COLUMNS = "id, name, age, type, created_at AT TIME ZONE 'UTC'"
TAG = "md5(pets::text)"
FIND = f"SELECT {TAG}, {COLUMNS} FROM pets WHERE id = $1"
UPDATE = f"""
    UPDATE pets
    SET name = coalesce($3, name), age = coalesce($4, age), type = coalesce($5, type)
    WHERE id = $1 AND ($2::text IS NULL OR {TAG} = $2)
    RETURNING {TAG}, {COLUMNS}
"""
INSERT = "INSERT INTO pets (name, age, type, created_at) VALUES ($1, $2, $3, $4) RETURNING id"
INSERT_ONCE = """
    WITH claimed AS (
        INSERT INTO pet_keys (key, id, name, age, type, created_at)
        VALUES ($1, nextval(pg_get_serial_sequence('pets', 'id')), $2, $3, $4, $5)
        ON CONFLICT (key) DO NOTHING
        RETURNING id, name, age, type, created_at
    ), added AS (
        INSERT INTO pets (id, name, age, type, created_at) OVERRIDING SYSTEM VALUE
        SELECT * FROM claimed
    )
    SELECT id FROM claimed
"""
ADDED = f"SELECT {COLUMNS} FROM pet_keys WHERE key = $1"
DELETE = "DELETE FROM pets WHERE id = ANY ($1::bigint[]) RETURNING id"

encode = Encoder().encode
decode_create = Decoder(PetCreate).decode
decode_update = Decoder(PetUpdate).decode
decode_delete = Decoder(PetsDelete).decode


class App:
    pool: asyncpg.Pool

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        status, body, headers = await self.answer(scope, receive)
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        url = os.environ["PETS_DATABASE_URL"]
        self.pool = await asyncpg.create_pool(url, min_size=10, max_size=10)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(self, scope: Message, receive: Receive) -> Answer:
        try:
            if scope["path"] == "/pets/":
                return await self.answer_all(scope, receive)
            return await self.answer_one(scope, receive, int(scope["path"].removeprefix("/pets/")))
        except (DecodeError, ValueError, KeyError) as error:  # a ValidationError is a DecodeError
            return 400, encode({"detail": str(error)}), []

    async def answer_all(self, scope: Message, receive: Receive) -> Answer:
        match scope["method"]:
            case "GET":
                return await self.list_pets(scope["query_string"])
            case "POST":
                key = header(scope, b"idempotency-key")
                return await self.create_pet(await read(receive), key)
            case "DELETE":
                return await self.delete_pets(await read(receive))
        return 405, b'{"detail":"Method Not Allowed"}', []

    async def answer_one(self, scope: Message, receive: Receive, id_: int) -> Answer:
        match scope["method"]:
            case "GET":
                return await self.get_pet(id_)
            case "PATCH":
                tag = header(scope, b"if-match")
                return await self.update_pet(id_, await read(receive), tag)
        return 405, b'{"detail":"Method Not Allowed"}', []

    async def list_pets(self, query_string: bytes) -> Answer:
        query: dict[str, Any] = {}  # Any: numbers and texts
        for name, text in parse_qsl(query_string.decode()):
            query[name] = int(text) if text.isdigit() else text
        limit = min(query.get("limit", 20), 1000)
        sort = query.get("sort", "id")
        filters = [name for name in FILTERS if name in query]
        after = decode(urlsafe_b64decode(query["cursor"])) if "cursor" in query else []
        statement = page_statement(tuple(filters), sort, after=bool(after))
        values = [query[name] for name in filters]
        # One more than asked for tells whether there is a next page.
        rows = await self.pool.fetch(statement, limit + 1, *values, *after)
        pets = [Pet(*row[1:]) for row in rows if row[1] is not None]
        link = links(query, sort, pets[limit - 1] if len(pets) > limit > 0 else None)
        return 200, encode(PetPage(rows[0][0], pets[:limit])), [(b"link", link)]

    async def get_pet(self, id_: int) -> Answer:
        row = await self.pool.fetchrow(FIND, id_)
        return tagged(row) if row else (404, b'{"detail":"Not Found"}', [])

    async def create_pet(self, body: bytes, key: str | None) -> Answer:
        new = decode_create(body)
        now = datetime.now(UTC).replace(microsecond=0)
        values = new.name, new.age, new.type, now
        if key is None:
            id_ = await self.pool.fetchval(INSERT, *values)
        else:
            id_ = await self.pool.fetchval(INSERT_ONCE, key, *values)
        if id_ is None:
            pet = Pet(*await self.pool.fetchrow(ADDED, key))
        else:
            pet = Pet(id_, new.name, new.age, new.type, now.replace(tzinfo=None))
        return 201, encode(pet), [(b"location", b"/pets/%d" % pet.id)]

    async def update_pet(self, id_: int, body: bytes, tag: str | None) -> Answer:
        update = decode_update(body)
        named = update.name, update.age, update.type
        values = [value if value is not UNSET else None for value in named]
        row = await self.pool.fetchrow(UPDATE, id_, tag and tag.strip('"'), *values)
        if row:
            return tagged(row)
        if await self.pool.fetchrow(FIND, id_):
            return 412, b'{"detail":"Precondition Failed"}', []
        return 404, b'{"detail":"Not Found"}', []

    async def delete_pets(self, body: bytes) -> Answer:
        ids = decode_delete(body).ids
        found = {row[0] for row in await self.pool.fetch(DELETE, ids)}
        errors = [DeleteError(id_) for id_ in ids if id_ not in found]
        return 200, encode(PetsDeleted(len(found), errors)), []


@cache
def page_statement(filters: tuple[str, ...], sort: str, *, after: bool) -> str:
    """Return a statement whose parameters are the limit, the filters' values and the position."""
    conditions = [FILTERS[name].format(number) for number, name in enumerate(filters, 2)]
    order = ", ".join(ORDERS[sort]).replace("name", 'name COLLATE "C"')
    position = ", ".join(f"${len(filters) + number}" for number, _ in enumerate(ORDERS[sort], 2))
    following = [f"({order}) > ({position})"] if after else []
    # The outer join makes one row at least, for the count.
    return f"""
        SELECT total, {COLUMNS}
        FROM ({count(conditions)}) AS counts (total)
        LEFT JOIN (
            SELECT * FROM pets {where(conditions + following)} ORDER BY {order} LIMIT $1
        ) AS page ON true
        ORDER BY {order}
    """


def links(query: Mapping[str, object], sort: str, last: Pet | None) -> bytes:
    """Return the header that leads to the first page, and to the one after this pet."""
    first = urlencode({name: value for name, value in query.items() if name != "cursor"})
    link = f'</pets/?{first}>; rel="first"'
    if last:
        position = [getattr(last, name) for name in ORDERS[sort]]
        cursor = urlsafe_b64encode(encode(position)).decode()
        link = f'</pets/?{first}&cursor={cursor}>; rel="next", {link}'
    return link.encode()


def tagged(row: asyncpg.Record) -> Answer:
    tag, *values = row
    return 200, encode(Pet(*values)), [(b"etag", b'"%s"' % tag.encode())]


def header(scope: Message, name: bytes) -> str | None:
    value = dict(scope["headers"]).get(name)
    return value and value.decode()


async def read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


app = App()
