"""Whether the service lives, and whether it is ready to serve."""

import asyncio
from typing import Final, Literal

from litestar import Controller, get
from litestar.datastructures import State
from msgspec import Struct

from pets.api.http.problems import documented
from pets.api.pets import Repository
from pets.domain.errors import StoreUnavailable

READY_TIMEOUT_SECONDS: Final = 1


class Health(Struct, frozen=True):
    """All is well."""

    status: Literal["ok"]


class HealthController(Controller):
    path = "/health"
    tags = ["health"]

    @get(
        "/live",
        operation_id="isLive",
        summary="Does the process answer?",
        response_description="It does.",
    )
    async def live(self) -> Health:
        return Health("ok")

    @get(
        "/ready",
        operation_id="isReady",
        summary="Can requests be sent here?",
        description="Whether the store answers within 1 second and is migrated, and the service is not stopping.",
        responses=documented(200, Health, "They can.", 500, 503),
    )
    async def ready(self, repository: Repository, state: State) -> Health:
        if state.get("stopping"):
            raise StoreUnavailable("The service is stopping.")
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                await repository.check()
        except TimeoutError as error:
            raise StoreUnavailable("The store did not answer in time.") from error
        return Health("ok")
