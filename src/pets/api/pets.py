"""The pets: the collection and the single pet."""

import re
from functools import partial
from typing import Annotated, Final

from litestar import Controller, Router, delete, get, patch, post, put
from litestar.exceptions import NotFoundException
from litestar.openapi.spec import OpenAPIType
from litestar.params import PathParameter
from litestar.types import ASGIApp

from pets.api import schemas
from pets.api.accept import wanted_type
from pets.api.answer import Answer
from pets.api.body import JSON_TYPES, MERGE_PATCH_TYPES, MissingBody, read_body, read_new_pets
from pets.api.calling import call_handler
from pets.api.conditions import (
    CONDITIONS_DESCRIBED,
    ETAG_DESCRIBED,
    TaggedAnswer,
    act_if_conditions_hold,
    entity_tag,
    find_one,
    raise_unless_met,
    to_json,
)
from pets.api.descriptions import described_answers, described_body, described_schema
from pets.api.formats import NEW_PETS_DESCRIBED, PETS_DESCRIBED
from pets.api.idempotency import KEY_DESCRIBED, REPLAYED, REPLAYED_DESCRIBED, add_once
from pets.api.pages import LINK_DESCRIBED, TOTAL_DESCRIBED, LastPage
from pets.api.parameters import read_parameters
from pets.api.problems import InvalidBody
from pets.api.queries import (
    FILTERS_DESCRIBED,
    IDS_DESCRIBED,
    STATISTICS_FILTERS_DESCRIBED,
    read_ids,
    read_query,
    read_statistics_query,
)
from pets.api.request import ApiRequest
from pets.api.root_path import path_for_clients
from pets.api.schemas import (
    MAX_IDS_BYTES,
    MAX_NEW_PETS_BYTES,
    PetCreate,
    PetsCreate,
    PetsDelete,
    PetsDeleted,
    PetUpdate,
    encode,
)
from pets.api.streams import STREAM_TYPES, Streams
from pets.domain.pet import MAX_ID
from pets.domain.statistics import PetStatistics

NO_TAG: Final = None
"""The list of all pets always exists, but no tag stands for it. Only a page of it has one."""

_ID: Final = re.compile("[1-9][0-9]{0,18}")
_LISTING_TYPES: Final = (*JSON_TYPES, *STREAM_TYPES)
_PLACES_OF_IDS: Final = "The ids must be either in the body or in query parameters `ids`."
_TAGGED: Final = {"ETag": ETAG_DESCRIBED}
_LOCATION_DESCRIBED: Final = {
    "description": "The path of the pet, unless an array was sent.",
    "required": False,
    "schema": {
        "type": "string",
        "pattern": "^/pets/[1-9][0-9]*$",
        "maxLength": len(f"/pets/{MAX_ID}"),
        "examples": ["/pets/1"],
    },
}

# An id is read as text because Litestar takes "01" and "\u0663" for integers.
Id = Annotated[
    str,
    PathParameter(
        schema_extra={"type": OpenAPIType.INTEGER, "minimum": 1, "maximum": MAX_ID, "examples": [1]}
    ),
]


class PetsController(Controller):
    path = "/pets"
    tags = ["pets"]
    middleware = [call_handler]

    def __init__(self, owner: Router) -> None:
        super().__init__(owner)
        self.last_page = LastPage()
        self.streams = Streams()

    @post(
        operation_id="createPet",
        summary="Create a pet, or several",
        description="All members are required, and no others are allowed. "
        "Of several pets, in an array or in lines, either all are created or none.",
        request_max_body_size=MAX_NEW_PETS_BYTES,
        responses=described_answers(
            201,
            schemas.Pet,
            "The pet, or an array of the pets in the order in which they were sent.",
            *(400, 412, 413, 415, 422, 500, 503, 507),
        ),
        body=described_body(
            PetCreate, PetsCreate, max_bytes=MAX_NEW_PETS_BYTES, others=NEW_PETS_DESCRIBED
        ),
        header={"Idempotency-Key": KEY_DESCRIBED},
        answer_body={201: described_schema(schemas.Pet, schemas.Pets)},
        answer_headers={
            201: {
                "Location": _LOCATION_DESCRIBED,
                "ETag": ETAG_DESCRIBED | {"required": False},
                "Idempotent-Replayed": REPLAYED_DESCRIBED,
            }
        },
    )
    async def create_pet(self, request: ApiRequest) -> Answer:
        bodies, is_array = await read_new_pets(request)
        read_parameters(request.scope["query_string"])
        raise_unless_met(request, NO_TAG)
        new = [body.to_domain() for body in bodies]
        added = await add_once(request, new)
        headers = [REPLAYED] if added.is_replay else []
        if is_array:
            pets = [schemas.Pet.from_domain(pet) for pet in added.pets]
            return Answer(201, encode(pets), *headers)
        (pet,) = added.pets
        body = to_json(pet)
        location = path_for_clients(f"/pets/{pet.id}").encode()
        return Answer(201, body, (b"location", location), (b"etag", entity_tag(body)), *headers)

    @get(
        operation_id="listPets",
        summary="List and find pets",
        description="All parameters can be combined. `Link` leads to the next page. "
        "As NDJSON or CSV, all pets are sent, without a limit unless one is given, and without "
        "`Link`. `cursor` is refused then.",
        responses=described_answers(
            200,
            schemas.PetPage,
            "The first pets that match, and how many match in all.",
            *(304, 400, 406, 412, 500, 503),
        ),
        query=FILTERS_DESCRIBED,
        header=CONDITIONS_DESCRIBED,
        answer_content={200: PETS_DESCRIBED},
        answer_headers={
            # Streams have none of them.
            200: {
                "ETag": ETAG_DESCRIBED | {"required": False},
                "Link": LINK_DESCRIBED,
                "X-Total-Count": TOTAL_DESCRIBED,
            },
            304: _TAGGED,
        },
    )
    async def list_pets(self, request: ApiRequest) -> ASGIApp:
        media_type = wanted_type(request.scope, _LISTING_TYPES)
        if media_type in STREAM_TYPES:
            return self.streams.answer(request, media_type)
        query = read_query(request.scope["query_string"])
        (page,) = await request.repository.pages([query])
        return self.last_page.answer(query, page).to(request)

    @get(
        "/stats",
        operation_id="countPets",
        summary="Count pets by type and age",
        description="The numbers are exact, of one moment, and take the same time however many "
        "pets there are.",
        responses=described_answers(
            200, schemas.PetStats, "Numbers about the pets that match.", *(304, 400, 412, 500, 503)
        ),
        query=STATISTICS_FILTERS_DESCRIBED,
        header=CONDITIONS_DESCRIBED,
        answer_headers={200: _TAGGED, 304: _TAGGED},
    )
    async def count_pets(self, request: ApiRequest) -> Answer:
        query = read_statistics_query(request.scope["query_string"])
        statistics = PetStatistics.of(await request.repository.counts(), query)
        return TaggedAnswer(encode(schemas.PetStats.from_domain(statistics))).to(request)

    @delete(
        operation_id="deletePets",
        summary="Delete pets",
        description="The ids are in the body, or in query parameters `ids` of clients that cannot "
        "send a body.",
        status_code=200,
        request_max_body_size=MAX_IDS_BYTES,
        responses=described_answers(
            200,
            PetsDeleted,
            "How many pets were deleted, and which ids were not found.",
            *(400, 412, 413, 415, 431, 500, 503),
        ),
        body=described_body(PetsDelete, required=False, max_bytes=MAX_IDS_BYTES),
        query=IDS_DESCRIBED,
    )
    async def delete_pets(self, request: ApiRequest) -> Answer:
        in_body = await read_body(request, PetsDelete) if await request.body() else None
        in_query = read_ids(request.scope["query_string"])
        asked = in_body or in_query
        if asked is None:
            raise MissingBody(_PLACES_OF_IDS)
        if in_body and in_query:
            raise InvalidBody(_PLACES_OF_IDS)
        raise_unless_met(request, NO_TAG)
        ids = asked.unique()
        removed = await request.repository.remove([id_ for id_ in ids if 1 <= id_ <= MAX_ID])
        return Answer(200, encode(PetsDeleted.from_removed(ids, removed)))

    @get(
        "/{pet_id:str}",
        operation_id="getPet",
        summary="Get a pet",
        description="With its tag in `If-None-Match`, an unchanged pet is not sent again.",
        responses=described_answers(200, schemas.Pet, "The pet.", 304, 400, 404, 412, 500, 503),
        header=CONDITIONS_DESCRIBED,
        answer_headers={200: _TAGGED, 304: _TAGGED},
    )
    async def get_pet(self, pet_id: Id, request: ApiRequest) -> Answer:
        body = to_json(await find_one(request.repository, _read_id(pet_id, request)))
        return TaggedAnswer(body).to(request)

    @put(
        "/{pet_id:str}",
        operation_id="replacePet",
        summary="Replace a pet",
        description="All members are required. The id and `created_at` stay as they are. "
        "With its tag in `If-Match`, a pet that was changed meanwhile is not replaced.",
        responses=described_answers(
            200, schemas.Pet, "The pet, as it is now.", 400, 404, 412, 413, 415, 500, 503
        ),
        body=described_body(PetCreate),
        header=CONDITIONS_DESCRIBED,
        answer_headers={200: _TAGGED},
    )
    async def replace_pet(self, pet_id: Id, request: ApiRequest) -> Answer:
        return await _change(pet_id, request, await read_body(request, PetCreate))

    @patch(
        "/{pet_id:str}",
        operation_id="updatePet",
        summary="Change a pet",
        description="Members that are not sent stay as they are. "
        "With its tag in `If-Match`, a pet that was changed meanwhile is not changed again.",
        responses=described_answers(
            200, schemas.Pet, "The pet, as it is now.", 400, 404, 412, 413, 415, 500, 503
        ),
        body=described_body(PetUpdate, media_types=MERGE_PATCH_TYPES),
        header=CONDITIONS_DESCRIBED,
        answer_headers={200: _TAGGED},
    )
    async def update_pet(self, pet_id: Id, request: ApiRequest) -> Answer:
        return await _change(
            pet_id, request, await read_body(request, PetUpdate, MERGE_PATCH_TYPES)
        )

    @delete(
        "/{pet_id:str}",
        operation_id="deletePet",
        summary="Delete a pet",
        description="With its tag in `If-Match`, a pet that was changed meanwhile is not deleted.",
        responses=described_answers(204, None, "The pet is deleted.", 400, 404, 412, 500, 503),
        header=CONDITIONS_DESCRIBED,
    )
    async def delete_pet(self, pet_id: Id, request: ApiRequest) -> None:
        id_ = _read_id(pet_id, request)
        remove = partial(request.repository.remove, [id_])
        await act_if_conditions_hold(request, id_, remove)


async def _change(pet_id: str, request: ApiRequest, update: PetCreate | PetUpdate) -> Answer:
    id_ = _read_id(pet_id, request)
    change = partial(request.repository.change, {id_: update.to_change()})
    changed = await act_if_conditions_hold(request, id_, change)
    body = to_json(changed[id_])
    return Answer(200, body, (b"etag", entity_tag(body)))


def _read_id(pet_id: str, request: ApiRequest) -> int:
    read_parameters(request.scope["query_string"])
    if not _ID.fullmatch(pet_id) or int(pet_id) > MAX_ID:
        raise NotFoundException
    return int(pet_id)
