"""The pets."""

from typing import Annotated

from litestar import Controller, HttpMethod, Response, delete, get, post, route
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from litestar.openapi.spec import OpenAPIType
from litestar.params import JSONBody, QueryParameter, SkipValidation
from litestar.response.base import ASGIResponse

from pets.api.problems import documented
from pets.api.schemas import DEFAULT_LIMIT, MAX_LIMIT, Pet, PetCreate, PetPage, PetsDelete, PetsDeleted, encode
from pets.api.strict_json import StrictJSON
from pets.domain.pet import MAX_ID
from pets.domain.query import PetQuery
from pets.domain.repository import PetPage as DomainPetPage
from pets.domain.repository import PetRepository

Repository = NamedDependency[SkipValidation[PetRepository]]

# Read as text, since Litestar takes "1e2" and "5.0" for integers; documented as what it is.
Limit = Annotated[
    str,
    QueryParameter(
        description=f"How many pets to return at most. Above {MAX_LIMIT} it means {MAX_LIMIT}.",
        schema_extra={"type": OpenAPIType.INTEGER, "minimum": 0, "default": DEFAULT_LIMIT},
    ),
]


def _parse_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ClientException("The query parameter `limit` must be an integer, 0 or more.")
    significant = text.lstrip("0")[:5] or "0"  # five digits are past the maximum; of thousands int() refuses to read
    return min(int(significant), MAX_LIMIT)


class PetController(Controller):
    path = "/pets"
    tags = ["pets"]
    _page: DomainPetPage | None = None
    _page_answer: ASGIResponse

    @post(
        operation_id="createPet",
        summary="Create a pet",
        dto=StrictJSON[PetCreate],
        return_dto=None,
        responses=documented(201, Pet, "The pet.", 400, 413, 415, 500, 503),
    )
    async def create_pet(self, data: JSONBody[PetCreate], repository: Repository) -> ASGIResponse:
        (pet,) = await repository.add([data.to_domain()])
        return ASGIResponse(
            body=encode(Pet.from_domain(pet)), status_code=201, headers=[("location", f"/pets/{pet.id}")]
        )

    @get(
        operation_id="listPets",
        summary="List pets",
        responses=documented(
            200, PetPage, "The first pets by ascending id, and how many there are in all.", 400, 500, 503
        ),
    )
    async def list_pets(self, repository: Repository, limit: Limit = str(DEFAULT_LIMIT)) -> ASGIResponse:
        page = await repository.page(PetQuery(limit=_parse_limit(limit)))
        if page is not self._page:  # who shares a page with others, as those in a batch do, shares its bytes too
            self._page = page
            self._page_answer = ASGIResponse(body=encode(PetPage.from_domain(page)))
        return self._page_answer

    @delete(
        operation_id="deletePets",
        summary="Delete pets",
        status_code=200,
        dto=StrictJSON[PetsDelete],
        return_dto=None,
        responses=documented(
            200, PetsDeleted, "How many pets were deleted, and which ids were not found.", 400, 413, 415, 500, 503
        ),
    )
    async def delete_pets(self, data: JSONBody[PetsDelete], repository: Repository) -> ASGIResponse:
        ids = data.unique()
        removed = await repository.remove([id_ for id_ in ids if 1 <= id_ <= MAX_ID])
        return ASGIResponse(body=encode(PetsDeleted.from_removed(ids, removed)))

    @route(http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
    async def allow(self) -> Response[None]:
        # Litestar's own would name but one method. It gives way to a handler that comes first by its function's name.
        return Response(None, headers={"Allow": "DELETE, GET, OPTIONS, POST"})
