"""The composition root: settings → repository → application. The only module that knows both
the adapters and the API.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from litestar import Litestar
from litestar.di import Provide
from litestar.types import LifespanHook

from pets.adapters.batching import BatchingPetRepository
from pets.adapters.memory import InMemoryPetRepository
from pets.adapters.sqlalchemy.engine import create_config, is_read_only, parse_url, read_only
from pets.adapters.sqlalchemy.migrations import upgrade
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.api.docs import DocsController
from pets.api.health import HealthController
from pets.api.http.problems import EXCEPTION_HANDLERS, MAX_BODY_BYTES
from pets.api.http.request import Application, LeanRequest
from pets.api.openapi import openapi_config
from pets.api.pets import PetsController
from pets.domain.repository import PetRepository

MEMORY: Final = "memory://"
DATABASE_URL: Final = "sqlite+aiosqlite:///pets.db"
HOST: Final = "127.0.0.1"
PORT: Final = 3000
WORKERS: Final = 1
IDEMPOTENCY_TTL: Final = 24 * 60 * 60
MAX_IDEMPOTENCY_TTL: Final = 366 * IDEMPOTENCY_TTL


class SettingsError(Exception):
    """A setting that cannot work. The message is one line that names it, and holds no password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set.

    `database_url` chooses the store: `sqlite+aiosqlite:///FILE`, `postgresql://…` or `memory://`. `host` and `port`
    are what to listen on; port 0 takes a free one. `workers` is the number of processes, 1 or more. `idempotency_ttl`
    is for how many seconds keys of idempotency are remembered, 1 or more.

    Raises `SettingsError` for values that can never work.
    """

    database_url: str = DATABASE_URL
    host: str = HOST
    port: int = PORT
    workers: int = WORKERS
    idempotency_ttl: int = IDEMPOTENCY_TTL

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"PETS_PORT: {self.port} is not from 0 to 65535")
        if self.workers < 1:
            raise SettingsError(f"PETS_WORKERS: {self.workers} is not 1 or more")
        if not 1 <= self.idempotency_ttl <= MAX_IDEMPOTENCY_TTL:
            raise SettingsError(
                f"PETS_IDEMPOTENCY_TTL: {self.idempotency_ttl} is not from 1 to {MAX_IDEMPOTENCY_TTL}"
            )
        if self.database_url == MEMORY and self.workers > 1:
            raise SettingsError(
                "PETS_DATABASE_URL: processes cannot share memory://, so PETS_WORKERS must be 1"
            )
        if self.database_url != MEMORY:
            try:
                parse_url(self.database_url)
            except ValueError as error:
                raise SettingsError(f"PETS_DATABASE_URL: {error}") from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return what the variables `PETS_DATABASE_URL`, `PETS_HOST` and so on say, each named as its setting."""
        for variable, value in environment.items():
            if variable.startswith("PETS_"):
                _check_text(variable, value)

        def integer(variable: str, default: int) -> int:
            text = environment.get(variable) or str(default)
            try:
                return int(text)
            except ValueError:
                raise SettingsError(f"{variable}: {text!r} is not an integer") from None

        return cls(
            database_url=environment.get("PETS_DATABASE_URL") or DATABASE_URL,
            host=environment.get("PETS_HOST") or HOST,
            port=integer("PETS_PORT", PORT),
            workers=integer("PETS_WORKERS", WORKERS),
            idempotency_ttl=integer("PETS_IDEMPOTENCY_TTL", IDEMPOTENCY_TTL),
        )


def _check_text(variable: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:  # Python has kept bytes that are not UTF-8 as surrogates.
        raise SettingsError(f"{variable}: the value is not valid UTF-8") from None


def may_write(settings: Settings) -> bool:
    """Whether this process may write to the store, as far as the files of SQLite tell."""
    return settings.database_url == MEMORY or not is_read_only(parse_url(settings.database_url))


def migrate(settings: Settings) -> None:
    """Bring the store to the schema that this version needs.

    Not to be called from a running event loop. Raises `StoreUnavailable` if the store cannot be
    reached or migrated.
    """
    if settings.database_url != MEMORY:
        upgrade(parse_url(settings.database_url))


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PetRepository]:
    """Give the store that the settings name, to a command that may take its time.

    It is opened for reading alone if this process may not write to it. Raises `SettingsError` if
    the settings name no store that lasts, `StoreUnavailable` if it has another schema.
    """
    if settings.database_url == MEMORY:
        raise SettingsError(
            "PETS_DATABASE_URL: memory:// begins empty and is forgotten when a command ends"
        )
    url = parse_url(settings.database_url)
    if is_read_only(url):
        url = read_only(url)
    engine = create_config(url, statement_seconds=None).get_engine()
    try:
        store = SQLAlchemyPetRepository(engine)
        await store.check()
        yield store
    finally:
        await engine.dispose()


def create_app(
    settings: Settings | None = None, repository: PetRepository | None = None
) -> Litestar:
    """Return the application, over the store that the settings name unless a repository is given.

    Without settings they come from the environment.
    """
    on_shutdown: list[LifespanHook] = []
    if repository is None:
        settings = settings or Settings.from_environment()
        key_ttl = timedelta(seconds=settings.idempotency_ttl)
        if settings.database_url == MEMORY:
            repository = InMemoryPetRepository(key_ttl)
        else:
            engine = create_config(parse_url(settings.database_url)).get_engine()
            repository = BatchingPetRepository(SQLAlchemyPetRepository(engine, key_ttl))
            on_shutdown.append(engine.dispose)
    return Application(
        route_handlers=[PetsController, HealthController, DocsController],
        dependencies={"repository": Provide(lambda: repository, sync_to_thread=False)},
        request_class=LeanRequest,
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(),
        on_shutdown=on_shutdown,
        logging_config=None,
    )
