"""`asyncpg`: an ASGI callable, an asyncpg pool and msgspec, no framework. The least that a hand can write."""

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from bench.servers.structs import DeleteError, Pet, PetCreate, PetPage, PetsDelete, PetsDeleted

Message = dict[str, Any]  # Any: as ASGI defines its messages
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# One row at least, for the count; created_at without an offset, as msgspec shall write it.
PAGE = """
    SELECT total, id, name, age, type, created_at AT TIME ZONE 'UTC'
    FROM (SELECT coalesce(sum(count), 0)::bigint AS total FROM pet_counts) AS counts
    LEFT JOIN (SELECT * FROM pets ORDER BY id LIMIT $1) AS page ON true
    ORDER BY id
"""
INSERT = "INSERT INTO pets (name, age, type, created_at) VALUES ($1, $2, $3, $4) RETURNING id"
DELETE = "DELETE FROM pets WHERE id = ANY ($1::bigint[]) RETURNING id"

encode = Encoder().encode
decode_create = Decoder(PetCreate).decode
decode_delete = Decoder(PetsDelete).decode


class App:
    pool: asyncpg.Pool

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        status, body, headers = await self.answer(scope, receive)
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.pool = await asyncpg.create_pool(os.environ["PETS_DATABASE_URL"], min_size=10, max_size=10)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(self, scope: Message, receive: Receive) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        if scope["path"] != "/pets/":
            return 404, b'{"detail":"Not Found"}', []
        try:
            match scope["method"]:
                case "GET":
                    return 200, await self.list_pets(scope["query_string"]), []
                case "POST":
                    id_, body = await self.create_pet(await read(receive))
                    return 201, body, [(b"location", b"/pets/%d" % id_)]
                case "DELETE":
                    return 200, await self.delete_pets(await read(receive)), []
        except (DecodeError, ValueError) as error:  # msgspec's ValidationError is a DecodeError
            return 400, encode({"detail": str(error)}), []
        return 405, b'{"detail":"Method Not Allowed"}', []

    async def list_pets(self, query: bytes) -> bytes:
        limit = min(int(query.removeprefix(b"limit=") or 20), 1000)
        rows = await self.pool.fetch(PAGE, limit)
        return encode(PetPage(rows[0][0], [Pet(*row[1:]) for row in rows if row[1] is not None]))

    async def create_pet(self, body: bytes) -> tuple[int, bytes]:
        new = decode_create(body)
        now = datetime.now(UTC).replace(microsecond=0)
        id_ = await self.pool.fetchval(INSERT, new.name, new.age, new.type, now)
        return id_, encode(Pet(id_, new.name, new.age, new.type, now.replace(tzinfo=None)))

    async def delete_pets(self, body: bytes) -> bytes:
        ids = decode_delete(body).ids
        found = {row[0] for row in await self.pool.fetch(DELETE, ids)}
        return encode(PetsDeleted(len(found), [DeleteError(id_) for id_ in ids if id_ not in found]))


async def read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


app = App()
