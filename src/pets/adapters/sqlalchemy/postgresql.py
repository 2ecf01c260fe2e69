"""What PostgreSQL does its own way: sessions for requests and for commands."""

import asyncio
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import asyncpg
from asyncpg.exceptions import PostgresError
from sqlalchemy import func

from pets.adapters.sqlalchemy import postgresql_load
from pets.adapters.sqlalchemy import postgresql_pages as pages
from pets.adapters.sqlalchemy import postgresql_statements as own
from pets.adapters.sqlalchemy.failures import Outcome, cause_of, domain_error
from pets.adapters.sqlalchemy.keyed_sets import KeyedSets, added_sets, keys_of
from pets.adapters.sqlalchemy.listing import Shape, parameters_of, values_of
from pets.adapters.sqlalchemy.postgresql_load import lock_against_writers
from pets.adapters.sqlalchemy.postgresql_session import UNREPLICATED
from pets.adapters.sqlalchemy.sessions import ConnectionSession, DriverSession, fetch
from pets.adapters.sqlalchemy.statements import Parameters, Row, pets_of_columns
from pets.domain.pet import Pet
from pets.domain.query import PetQuery
from pets.domain.repository import AddedOnce, Numbered, PetPage

_EXPORT_ROWS: Final = 1000
_EXPORT_SECONDS: Final = 60
"""How long an export waits for the next rows. Few of many pets may match."""


class PostgreSQL(DriverSession):
    """A session for the calls of requests."""

    statements = own.STATEMENTS

    async def pages(self, queries: Sequence[PetQuery]) -> Mapping[PetQuery, PetPage]:
        by_shape: dict[Shape, list[PetQuery]] = {}
        answers = {}
        for query in queries:
            shape = Shape.of(query)
            if shape.is_kept:
                by_shape.setdefault(shape, []).append(query)
            else:
                answers[query] = await self.search(query)
        for shape, alike in by_shape.items():
            asked = pages.asked_queries(shape).of(map(values_of, alike))
            for page in await self.fetch(pages.listing(shape), asked):
                query = alike[page["position"] - 1]
                answers[query] = _page_of(query, page)
        return answers

    async def search(self, query: PetQuery) -> PetPage:
        # Before PostgreSQL 18 it takes a round trip to learn how the server folds.
        fold = func.upper if query.name is None else await fold_of(self._driver)
        statement = pages.search(Shape.of(query), fold)
        (page,) = await self.fetch(statement, parameters_of_search(query))
        return _page_of(query, page)

    async def add_once(self, sets: KeyedSets, key_ttl: timedelta) -> dict[str, AddedOnce]:
        s = self.statements
        rows: list[Row] = []
        added: set[str] = set()
        try:
            while missing := sets.keys() - {row["key"] for row in rows}:
                new = own.new_keys({key: sets[key] for key in missing})
                rows += await self.fetch(own.ADD_ONCE, new | {"key_ttl": key_ttl})
                added.update(row["key"] for row in rows)
                # Another call can clear a key before this one reads it. The next round adds it.
                used = {key: sets[key] for key in missing - added}
                if used:
                    rows += await self.fetch(s.find_keys, s.keys.of(keys_of(used)))
        except PostgresError as error:
            if not rows:
                raise
            # Some pets are committed.
            raise domain_error(Outcome.UNKNOWN) from cause_of(error)
        return added_sets(sets, rows, added)


class PostgreSQLCommands(ConnectionSession):
    """A session for commands, and for the checks of health."""

    statements = own.STATEMENTS

    async def __aexit__(self, type_: object, error: BaseException | None, trace: object) -> None:
        is_unreplicated = error is None and self.connection.info[UNREPLICATED]
        if is_unreplicated:
            await self.connection.invalidate()
        await super().__aexit__(type_, error, trace)
        if is_unreplicated:
            raise domain_error(Outcome.UNKNOWN)

    async def _driver(self) -> asyncpg.Connection:
        """Return the driver's connection, for what SQLAlchemy has no way to do."""
        driver = (await self.connection.get_raw_connection()).driver_connection
        assert isinstance(driver, asyncpg.Connection)
        return driver

    async def tables(self) -> set[str]:
        """Return the names of the tables."""
        return {row["tablename"] for row in await self.fetch(own.TABLES)}

    async def missing_grants(self) -> Sequence[str]:
        """Return the grants that the user needs and does not have, as "INSERT on pets"."""
        return [row["grant"] for row in await self.fetch(own.MISSING_GRANTS)]

    async def fold(self) -> pages.Fold:
        """Return how this server folds the case of a name in searches."""
        return await fold_of(await self._driver())

    # Any: each column has a type of its own.
    async def export(self, query: PetQuery) -> AsyncGenerator[Sequence[Sequence[Any]], None]:
        """Yield the values of the columns `PET` of each pet, which takes less than mappings."""
        statement = pages.export(Shape.of(query), await self.fold())
        await self.connection.execution_options(isolation_level="READ COMMITTED")  # for a cursor
        parameters = parameters_of_search(query) | {"page_limit": None}
        async with self.connection.begin(), self.connection.stream(statement, parameters) as rows:
            chunks = aiter(rows.columns(*Pet._fields).partitions(_EXPORT_ROWS))
            while True:
                async with asyncio.timeout(_EXPORT_SECONDS):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                yield chunk

    async def load(
        self, pets: AsyncIterable[Numbered], *, skip_taken: bool, last_id: Callable[[], int]
    ) -> Sequence[int]:
        driver = await self._driver()
        return await postgresql_load.load(driver, pets, skip_taken=skip_taken, last_id=last_id)

    async def ids(self) -> tuple[int | None, int]:
        """Return the last id that the sequence has given, and the highest id of a pet, or 0.

        The first is None if the user may not read the sequence.
        """
        (found,) = await self.fetch(own.HIGHEST_ID)
        if not found["may_read"]:
            return None, found["highest"]
        (sequence,) = await self.fetch(own.GIVEN_ID)
        return sequence["given"], found["highest"]

    async def raise_ids(self, id_: int) -> None:
        """Let no id up to this one be given. It must be within `without_writers`."""
        await self.fetch(own.RAISE_IDS, {"id": id_})

    @asynccontextmanager
    async def without_writers(self) -> AsyncIterator[None]:
        """Run statements as one transaction, in which nobody else writes pets."""
        driver = await self._driver()
        async with driver.transaction():
            await lock_against_writers(driver)
            yield


async def fold_of(driver: asyncpg.Connection) -> pages.Fold:
    """Return how this server folds the case of a text best."""
    if driver.get_server_version() >= (18,):
        return pages.casefold
    return pages.upper_by_icu if await fetch(driver, pages.ICU) else func.upper


def parameters_of_search(query: PetQuery) -> Parameters:
    part = re.sub(r"([\\%_])", r"\\\1", query.name or "")
    ids = own.STATEMENTS.ids.of((id_,) for id_ in query.ids or ())
    return parameters_of(query, f"%{part}%") | ids


def _page_of(query: PetQuery, page: Row) -> PetPage:
    found = [] if page["id"] is None else pets_of_columns(page)  # array_agg() of no rows is NULL.
    return PetPage.cut(query, page["count"], found)
