"""`ceiling`: Litestar answering the same bodies from memory. What the framework allows, whatever is behind it."""

from datetime import UTC, datetime, timedelta
from itertools import count

from litestar import Litestar, Response, delete, get, post
from litestar.params import JSONBody

from bench import ROWS
from bench.servers.structs import Pet, PetCreate, PetPage, PetsDelete, PetsDeleted

# The first rows of bench/database.py's FILL.
FIRST = datetime(2021, 5, 18, 19, 10, 17)  # noqa: DTZ001  # see Pet
PETS = [
    Pet(i, f"pet {i}", i % 101, "cat" if i % 2 == 0 else "dog", FIRST + timedelta(seconds=i)) for i in range(1, 1001)
]
ids = count(ROWS + 1)


@get("/pets/")
async def list_pets(limit: int = 20) -> PetPage:
    return PetPage(ROWS, PETS[:limit])


@post("/pets/")
async def create_pet(data: JSONBody[PetCreate]) -> Response[Pet]:
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    pet = Pet(next(ids), data.name, data.age, data.type, now)
    return Response(pet, headers={"Location": f"/pets/{pet.id}"})


@delete("/pets/", status_code=200)
async def delete_pets(data: JSONBody[PetsDelete]) -> PetsDeleted:
    return PetsDeleted(len(data.ids), [])  # nothing is kept, so everything asked for was there


app = Litestar([list_pets, create_pet, delete_pets], logging_config=None)
