"""The pets."""

from typing import Final

from litestar import Controller, HttpMethod, Response, delete, get, post, route
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from litestar.params import JSONBody, SkipValidation
from litestar.response.base import ASGIResponse

from pets.api.http.conditions import is_met, require
from pets.api.http.idempotency import KeyReused, idempotency_key
from pets.api.http.problems import AnyRequest, documented
from pets.api.http.queries import links, read_ids, read_parameters, read_query
from pets.api.schemas import Pet, PetCreate, PetPage, PetsDelete, PetsDeleted, encode
from pets.api.strict_json import StrictJSON
from pets.domain.pet import MAX_ID
from pets.domain.repository import PetPage as DomainPetPage
from pets.domain.repository import PetRepository

NO_TAG: Final = None
"""The tag of the collection: it always exists, and no condition can name its state."""

Repository = NamedDependency[SkipValidation[PetRepository]]


class PetsController(Controller):
    path = "/pets"
    tags = ["pets"]
    _page: DomainPetPage | None = None
    _page_answer: ASGIResponse

    @post(
        operation_id="createPet",
        summary="Create a pet",
        dto=StrictJSON[PetCreate],
        return_dto=None,
        responses=documented(201, Pet, "The pet.", 400, 412, 413, 415, 422, 500, 503),
    )
    async def create_pet(
        self, data: JSONBody[PetCreate], request: AnyRequest, repository: Repository
    ) -> ASGIResponse:
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
        return ASGIResponse(
            body=encode(Pet.from_domain(pet)),
            status_code=201,
            headers=[("location", f"/pets/{pet.id}")],
        )

    @get(
        operation_id="listPets",
        summary="List and find pets",
        responses=documented(
            200,
            PetPage,
            "The first pets that match, and how many match in all.",
            304,
            400,
            412,
            500,
            503,
        ),
    )
    async def list_pets(self, request: AnyRequest, repository: Repository) -> ASGIResponse:
        query = read_query(request.scope["query_string"])
        if not is_met(request, NO_TAG):
            return ASGIResponse(status_code=304)
        page = await repository.page(query)
        if (
            page is not self._page
        ):  # who shares a page with others, as those in a batch do, shares its bytes too
            self._page = page
            self._page_answer = ASGIResponse(
                body=encode(PetPage.from_domain(page)), headers=[("link", links(query, page.next))]
            )
        return self._page_answer

    @delete(
        operation_id="deletePets",
        summary="Delete pets",
        description="The ids are given in the body, or as query parameters `ids` by clients that cannot send one.",
        status_code=200,
        dto=StrictJSON[PetsDelete],
        return_dto=None,
        responses=documented(
            200,
            PetsDeleted,
            "How many pets were deleted, and which ids were not found.",
            400,
            412,
            413,
            415,
            500,
            503,
        ),
    )
    async def delete_pets(
        self, request: AnyRequest, repository: Repository, data: JSONBody[PetsDelete | None] = None
    ) -> ASGIResponse:
        named = read_ids(request.scope["query_string"])
        asked = data or named
        if asked is None or (data and named):
            raise ClientException(
                "The ids must be given either in the body or as query parameters `ids`."
            )
        require(request, NO_TAG)
        ids = asked.unique()
        removed = await repository.remove([id_ for id_ in ids if 1 <= id_ <= MAX_ID])
        return ASGIResponse(body=encode(PetsDeleted.from_removed(ids, removed)))

    @route(http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
    async def allow(self) -> Response[None]:
        # Litestar's own would name but one method. It gives way to a handler that comes first by its function's name.
        return Response(None, headers={"Allow": "DELETE, GET, HEAD, OPTIONS, POST"})
