"""The health checks: whether the process runs, and whether the service is ready for requests."""

import asyncio
from typing import Final

from litestar import Controller, Router, get

from pets.api.descriptions import described_answers
from pets.api.request import ApiRequest
from pets.api.schemas import Health
from pets.domain.errors import StoreUnavailable
from pets.domain.repository import PetRepository
from pets.telemetry.request_context import NO_REQUEST

_LATE: Final = "The store did not answer in time."

READY_TIMEOUT_SECONDS: Final = 1
CHECK_SECONDS: Final = 1
"""How long callers share the result of a check of the store, from its beginning."""


class StoreCheck:
    """Asks the store whether it works: at most once a second, and never twice at a time.

    The callers need no API key, so this keeps them from overloading the store.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[StoreUnavailable | None] | None = None
        self._began = 0.0

    async def failure(self, repository: PetRepository) -> StoreUnavailable | None:
        """Return why the store does not work, or None. This takes READY_TIMEOUT_SECONDS at most."""
        loop = asyncio.get_running_loop()
        task = self._task
        if task is None or (task.done() and loop.time() - self._began >= CHECK_SECONDS):
            # A task of its own goes on when its first caller leaves.
            task = self._task = loop.create_task(_check(repository), context=NO_REQUEST.copy())
            self._began = loop.time()
        if not task.done():
            await asyncio.wait([task], timeout=READY_TIMEOUT_SECONDS)
        return task.result() if task.done() else StoreUnavailable(_LATE)


async def _check(repository: PetRepository) -> StoreUnavailable | None:
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            await repository.check()
    except TimeoutError:
        return StoreUnavailable(_LATE)
    except StoreUnavailable as error:
        return error
    return None


class HealthController(Controller):
    path = "/health"
    tags = ["health"]

    def __init__(self, owner: Router) -> None:
        super().__init__(owner)
        self._store_check = StoreCheck()

    @get(
        "/live",
        operation_id="isLive",
        summary="Does the process answer?",
        description="Answers as long as the process works, because it does not use the store.",
        responses=described_answers(200, Health, "It does.", 400, 500),
    )
    async def live(self) -> Health:
        return Health("ok")

    @get(
        "/ready",
        operation_id="isReady",
        summary="Can requests be sent here?",
        description="The service is ready if it is not stopping, and if the store is migrated and "
        "answered within 1 second. The store is checked at most once a second.",
        responses=described_answers(200, Health, "They can.", 400, 500, 503),
    )
    async def ready(self, request: ApiRequest) -> Health:
        if request.app.state.get("stopping"):
            raise StoreUnavailable("The service is stopping.")
        if failure := await self._store_check.failure(request.repository):
            raise failure.with_traceback(None)  # It would grow with each caller.
        return Health("ok")
