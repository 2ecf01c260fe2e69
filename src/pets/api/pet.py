"""One pet."""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated, Final, TypeVar

from litestar import Controller, HttpMethod, Response, delete, get, patch, route
from litestar.exceptions import NotFoundException
from litestar.openapi.spec import OpenAPIType
from litestar.params import JSONBody, PathParameter
from litestar.response.base import ASGIResponse

from pets.api.http.conditions import entity_tag, is_conditional, is_met, require
from pets.api.http.problems import AnyRequest, PetNotFound, documented
from pets.api.http.queries import read_parameters
from pets.api.pets import Repository
from pets.api.schemas import Pet, PetUpdate, encode
from pets.api.strict_json import MergePatch
from pets.domain import pet as domain
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import MAX_ID
from pets.domain.repository import PetRepository

# Read as text, since Litestar takes "01" and "\u0663" for integers; documented as what it is.
Id = Annotated[
    str,
    PathParameter(
        schema_extra={"type": OpenAPIType.INTEGER, "minimum": 1, "maximum": MAX_ID, "examples": [1]}
    ),
]


MAX_ROUNDS: Final = 100
"""How often a pet may change between being looked at and being acted on."""

_ID: Final = re.compile("[1-9][0-9]{0,18}")

Done = TypeVar("Done", bound=Collection[object])
Act = Callable[[Mapping[int, domain.Pet] | None], Awaitable[Done]]


class PetController(Controller):
    path = "/pets/{pet_id:str}"
    tags = ["pets"]

    @get(
        operation_id="getPet",
        summary="Get a pet",
        responses=documented(200, Pet, "The pet.", 304, 400, 404, 412, 500, 503),
    )
    async def get_pet(
        self, pet_id: Id, request: AnyRequest, repository: Repository
    ) -> ASGIResponse:
        body = _represent(await _find(repository, _read(pet_id, request)))
        tag = entity_tag(body)
        if not is_met(request, tag):
            return ASGIResponse(status_code=304, headers=[("etag", tag)])
        return ASGIResponse(body=body, headers=[("etag", tag)])

    @patch(
        operation_id="updatePet",
        summary="Change a pet",
        dto=MergePatch[PetUpdate],
        return_dto=None,
        responses=documented(200, Pet, "The pet, as it is now.", 400, 404, 412, 413, 415, 500, 503),
    )
    async def update_pet(
        self, pet_id: Id, data: JSONBody[PetUpdate], request: AnyRequest, repository: Repository
    ) -> ASGIResponse:
        id_ = _read(pet_id, request)
        changes = {id_: data.to_domain()}
        changed = await _do(
            id_, request, repository, lambda pets: repository.change(changes, expected=pets)
        )
        body = _represent(changed[id_])
        return ASGIResponse(body=body, headers=[("etag", entity_tag(body))])

    @delete(
        operation_id="deletePet",
        summary="Delete a pet",
        responses=documented(204, None, "The pet is deleted.", 400, 404, 412, 500, 503),
    )
    async def delete_pet(self, pet_id: Id, request: AnyRequest, repository: Repository) -> None:
        id_ = _read(pet_id, request)
        await _do(id_, request, repository, lambda pets: repository.remove([id_], expected=pets))

    @route(http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
    async def allow(self) -> Response[None]:
        headers = {
            "Allow": "DELETE, GET, HEAD, OPTIONS, PATCH",
            "Accept-Patch": ", ".join(MergePatch.media_types),
        }
        return Response(None, headers=headers)


def _read(pet_id: str, request: AnyRequest) -> int:
    read_parameters(request.scope["query_string"])
    if not _ID.fullmatch(pet_id) or int(pet_id) > MAX_ID:
        raise NotFoundException
    return int(pet_id)


async def _find(repository: PetRepository, id_: int) -> domain.Pet:
    found = await repository.find([id_])
    if not found:
        raise PetNotFound
    return found[id_]


def _represent(pet: domain.Pet) -> bytes:
    return encode(Pet.from_domain(pet))


async def _do(id_: int, request: AnyRequest, repository: PetRepository, act: Act[Done]) -> Done:
    """Act on a pet if it is as the request's conditions say, which is still so at the moment of the act.

    The store does so only if the pet is exactly like the one that met the conditions.
    """
    if not is_conditional(request):
        done = await act(None)
        if not done:
            raise PetNotFound
        return done
    for _ in range(MAX_ROUNDS):
        pet = await _find(repository, id_)
        require(request, entity_tag(_represent(pet)))
        if done := await act({id_: pet}):
            return done  # else it was changed meanwhile, by another who did succeed
    raise StoreUnavailable("The pet is being changed too often.")
