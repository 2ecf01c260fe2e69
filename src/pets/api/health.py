"""The health checks: the process lives, and the service is ready to serve."""

import asyncio
from typing import Final

from litestar import Controller, get

from pets.api.http.request import ApiRequest
from pets.api.openapi import described_answers
from pets.api.schemas import Health
from pets.domain.errors import StoreUnavailable

READY_TIMEOUT_SECONDS: Final = 1


class HealthController(Controller):
    path = "/health"
    tags = ["health"]

    @get(
        "/live",
        operation_id="isLive",
        summary="Does the process answer?",
        description="Always answered while the process works, because the store is not asked.",
        responses=described_answers(200, Health, "It does.", 400, 500),
    )
    async def live(self) -> Health:
        return Health("ok")

    @get(
        "/ready",
        operation_id="isReady",
        summary="Can requests be sent here?",
        description="Whether the store answers within 1 second and is migrated, "
        "and the service is not stopping.",
        responses=described_answers(200, Health, "They can.", 400, 500, 503),
    )
    async def ready(self, request: ApiRequest) -> Health:
        if request.app.state.get("stopping"):
            raise StoreUnavailable("The service is stopping.")
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                await request.repository.check()
        except TimeoutError as error:
            raise StoreUnavailable("The store did not answer in time.") from error
        return Health("ok")
