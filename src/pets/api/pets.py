"""The pets: the collection and the single pet."""

import re
from collections.abc import Mapping
from typing import Annotated, Final

from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.exceptions import ClientException, NotFoundException
from litestar.openapi.spec import OpenAPIHeader, OpenAPIType, Schema
from litestar.params import JSONBody, PathParameter, SkipValidation

from pets.api import schemas
from pets.api.http.answer import Answer
from pets.api.http.body import MergePatch, StrictJSON
from pets.api.http.conditions import (
    CONDITION_PARAMETERS,
    ETAG_HEADER,
    entity_tag,
    find_one,
    is_met,
    look,
    represent,
    require,
    require_another_look,
)
from pets.api.http.idempotency import KEY_PARAMETER, KeyReused, idempotency_key
from pets.api.http.queries import (
    IDS_PARAMETER,
    LINK_HEADER,
    LISTING_PARAMETERS,
    links,
    read_ids,
    read_parameters,
    read_query,
)
from pets.api.http.request import AnyRequest
from pets.api.openapi import documented
from pets.api.schemas import PetCreate, PetsDelete, PetsDeleted, PetUpdate, encode
from pets.domain.pet import MAX_ID, Pet
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage, PetRepository

NO_TAG: Final = None
"""The tag of the collection, which always exists, but has no tag to name its state."""

_ID: Final = re.compile("[1-9][0-9]{0,18}")
_ETAG: Final = {"ETag": ETAG_HEADER}
_LOCATION: Final = OpenAPIHeader(
    description="The path of the pet.",
    required=True,
    schema=Schema(type=OpenAPIType.STRING, examples=["/pets/1"]),
)

# An id is read as text because Litestar takes "01" and "\u0663" for integers.
Id = Annotated[
    str,
    PathParameter(
        schema_extra={"type": OpenAPIType.INTEGER, "minimum": 1, "maximum": MAX_ID, "examples": [1]}
    ),
]
Repository = NamedDependency[SkipValidation[PetRepository]]


class LastPage:
    """Keeps the answer with the last page, because callers of one batch get the same page object.

    To encode a page takes most of the time of a listing, so they share its bytes too.
    """

    def __init__(self) -> None:
        self._page: PetPage | None = None
        self._answer: Answer

    def answer(self, query: PetQuery, page: PetPage) -> Answer:
        if page is not self._page:
            body = encode(schemas.PetPage.from_domain(page))
            link = links(query, page.next).encode()
            self._page = page
            self._answer = Answer(200, body, (b"link", link))
        return self._answer


class PetsController(Controller):
    path = "/pets"
    tags = ["pets"]
    last_page = LastPage()

    @post(
        operation_id="createPet",
        summary="Create a pet",
        dto=StrictJSON[PetCreate],
        return_dto=None,
        responses=documented(201, schemas.Pet, "The pet.", 400, 412, 413, 415, 422, 500, 503),
        opt={"parameters": [KEY_PARAMETER], "headers": {201: {"Location": _LOCATION}}},
    )
    async def create_pet(
        self, data: JSONBody[PetCreate], request: AnyRequest, repository: Repository
    ) -> Answer:
        read_parameters(request.scope["query_string"])
        require(request, NO_TAG)
        new = data.to_domain()
        key = idempotency_key(request)
        if key is None:
            (pet,) = await repository.add([new])
        else:
            pet = (await repository.add_once({key: new}))[key]
            if (pet.name, pet.age, pet.type) != (new.name, new.age, new.type):
                raise KeyReused
        return Answer(201, represent(pet), (b"location", b"/pets/%d" % pet.id))

    @get(
        operation_id="listPets",
        summary="List and find pets",
        responses=documented(
            200,
            schemas.PetPage,
            "The first pets that match, and how many match in all.",
            *(304, 400, 412, 500, 503),
        ),
        opt={"parameters": LISTING_PARAMETERS, "headers": {200: {"Link": LINK_HEADER}}},
    )
    async def list_pets(self, request: AnyRequest, repository: Repository) -> Answer:
        query = read_query(request.scope["query_string"])
        if not is_met(request, NO_TAG):
            return Answer(304)
        page = await repository.page(query)
        return self.last_page.answer(query, page)

    @delete(
        operation_id="deletePets",
        summary="Delete pets",
        description="The ids are in the body, or in query parameters `ids` of clients that cannot "
        "send a body.",
        status_code=200,
        dto=StrictJSON[PetsDelete],
        return_dto=None,
        responses=documented(
            200,
            PetsDeleted,
            "How many pets were deleted, and which ids were not found.",
            *(400, 412, 413, 415, 500, 503),
        ),
        opt={"parameters": [IDS_PARAMETER]},
    )
    async def delete_pets(
        self, request: AnyRequest, repository: Repository, data: JSONBody[PetsDelete | None] = None
    ) -> Answer:
        from_query = read_ids(request.scope["query_string"])
        asked = data or from_query
        if asked is None or (data and from_query):
            raise ClientException(
                "The ids must be either in the body or in query parameters `ids`."
            )
        require(request, NO_TAG)
        ids = asked.unique()
        removed = await repository.remove([id_ for id_ in ids if 1 <= id_ <= MAX_ID])
        return Answer(200, encode(PetsDeleted.from_removed(ids, removed)))

    @get(
        "/{pet_id:str}",
        operation_id="getPet",
        summary="Get a pet",
        responses=documented(200, schemas.Pet, "The pet.", 304, 400, 404, 412, 500, 503),
        opt={"parameters": CONDITION_PARAMETERS, "headers": {200: _ETAG, 304: _ETAG}},
    )
    async def get_pet(self, pet_id: Id, request: AnyRequest, repository: Repository) -> Answer:
        body = represent(await find_one(repository, _read_id(pet_id, request)))
        tag = entity_tag(body)
        if not is_met(request, tag):
            return Answer(304, b"", (b"etag", tag))
        return Answer(200, body, (b"etag", tag))

    @patch(
        "/{pet_id:str}",
        operation_id="updatePet",
        summary="Change a pet",
        dto=MergePatch[PetUpdate],
        return_dto=None,
        responses=documented(
            200, schemas.Pet, "The pet, as it is now.", 400, 404, 412, 413, 415, 500, 503
        ),
        opt={"parameters": CONDITION_PARAMETERS, "headers": {200: _ETAG}},
    )
    async def update_pet(
        self, pet_id: Id, data: JSONBody[PetUpdate], request: AnyRequest, repository: Repository
    ) -> Answer:
        id_ = _read_id(pet_id, request)
        changes = {id_: data.to_domain()}
        changed: Mapping[int, Pet] = {}
        while not changed:
            expected = await look(request, repository, id_)
            changed = await repository.change(changes, expected=expected)
            if not changed:
                require_another_look(request, expected)
        body = represent(changed[id_])
        return Answer(200, body, (b"etag", entity_tag(body)))

    @delete(
        "/{pet_id:str}",
        operation_id="deletePet",
        summary="Delete a pet",
        responses=documented(204, None, "The pet is deleted.", 400, 404, 412, 500, 503),
        opt={"parameters": CONDITION_PARAMETERS},
    )
    async def delete_pet(self, pet_id: Id, request: AnyRequest, repository: Repository) -> None:
        id_ = _read_id(pet_id, request)
        removed: set[int] = set()
        while not removed:
            expected = await look(request, repository, id_)
            removed = await repository.remove([id_], expected=expected)
            if not removed:
                require_another_look(request, expected)


def _read_id(pet_id: str, request: AnyRequest) -> int:
    read_parameters(request.scope["query_string"])
    if not _ID.fullmatch(pet_id) or int(pet_id) > MAX_ID:
        raise NotFoundException
    return int(pet_id)
