"""`ceiling`: Litestar answering the same bodies from memory.

What the framework allows, whatever is behind it.
"""

from datetime import UTC, datetime, timedelta
from itertools import count

from litestar import Litestar, Response, delete, get, post
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec.json import Encoder

from bench import ROWS
from bench.servers.structs import Pet, PetCreate, PetPage, PetsDelete, PetsDeleted, PetType

FIRST = datetime(2021, 5, 18, 19, 10, 17)  # noqa: DTZ001  # see Pet
encode = Encoder().encode


def row(number: int) -> Pet:
    """Return one of the rows of bench/database.py's FILL."""
    kind: PetType = "cat" if number % 2 == 0 else "dog"
    return Pet(number, f"pet {number}", number % 101, kind, FIRST + timedelta(seconds=number))


PETS = [row(number) for number in range(1, 1001)]
ids = count(ROWS + 1)


@get("/pets/")
async def list_pets(limit: int = 20) -> PetPage:
    return PetPage(ROWS, PETS[:limit])


@get("/pets/{pet_id:int}")
async def get_pet(pet_id: FromPath[int]) -> ASGIResponse:
    return ASGIResponse(body=encode(row(pet_id)), headers=[("etag", f'"{pet_id}"')])


@post("/pets/")
async def create_pet(data: JSONBody[PetCreate]) -> Response[Pet]:
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    pet = Pet(next(ids), data.name, data.age, data.type, now)
    return Response(pet, headers={"Location": f"/pets/{pet.id}"})


@delete("/pets/", status_code=200)
async def delete_pets(data: JSONBody[PetsDelete]) -> PetsDeleted:
    return PetsDeleted(len(data.ids), [])  # nothing is kept, so everything asked for was there


app = Litestar([list_pets, get_pet, create_pet, delete_pets], logging_config=None)
