"""Pets in PostgreSQL or SQLite, by SQLAlchemy Core: one statement a call, committed by itself."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from asyncpg.exceptions import DataError, IntegrityConstraintViolationError, InterfaceError, PostgresError
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pets.adapters.tables import REVISION, VERSION_TABLE, pet_counts, pets
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import MAX_ID, NewPet, Pet, PetType
from pets.domain.repository import PetPage

_TOTAL: Final = sa.select(
    sa.cast(sa.func.coalesce(sa.func.sum(pet_counts.c.count), sa.literal_column("0")), sa.BigInteger)
)
# The count and the items come from one statement, so from one snapshot.
_PAGE: Final = sa.select(_TOTAL.scalar_subquery(), pets).order_by(pets.c.id).limit(sa.bindparam("limit"))

_VERSION: Final[sa.Select[Any]] = sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))

# Any, here and below: the types of rows and parameters are those of each statement, and drivers have none.
Rows = Sequence[Any]


class SQLAlchemyPetRepository:
    """A `PetRepository` over an engine of `pets.adapters.engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._dialect = _postgresql() if engine.dialect.name == "postgresql" else _sqlite()

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        rows = await self._execute(self._dialect.insert, self._dialect.insert_parameters(pets))
        return [pet.with_id(id_) for pet, id_ in zip(pets, sorted(id_ for (id_,) in rows), strict=True)]

    async def page(self, limit: int) -> PetPage:
        if limit == 0:
            ((total,),) = await self._execute(_TOTAL, {})
            return PetPage(total, [])
        rows = await self._execute(_PAGE, {"limit": limit})
        total = rows[0][0] if rows else 0  # without a row there is no pet
        return PetPage(total, [Pet(id_, name, age, _TYPES[type_], at) for _, id_, name, age, type_, at in rows])

    async def remove(self, ids: Collection[int]) -> set[int]:
        possible = [id_ for id_ in ids if 1 <= id_ <= MAX_ID]  # others do not fit the parameter's type
        return {id_ for (id_,) in await self._execute(self._dialect.delete, {"ids": possible})}

    async def check(self) -> None:
        if [revision for (revision,) in await self._execute(_VERSION, {})] != [REVISION]:
            raise StoreUnavailable("The store is not migrated to this version; `pets migrate` does that.")

    async def _execute(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Rows:
        try:
            async with self._engine.connect() as connection:
                return await self._dialect.fetch(connection, statement, parameters)
        # A value that the domain should have refused: a bug, not a failing store.
        except (IntegrityError, IntegrityConstraintViolationError, DataError):
            raise
        except (DBAPIError, PoolTimeoutError, PostgresError, InterfaceError, OSError) as error:
            raise StoreUnavailable("The store cannot be reached or does not answer.") from error


_TYPES: Final = {str(kind): kind for kind in PetType}
_COLUMNS: Final = ["name", "age", "type", "created_at"]


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a database takes a set as one parameter, so that a statement is the same for any number of pets."""

    fetch: Callable[[AsyncConnection, sa.Executable, Mapping[str, Any]], Awaitable[Rows]]
    insert: sa.Executable
    insert_parameters: Callable[[Sequence[NewPet]], Mapping[str, Any]]
    delete: sa.Executable


async def _fetch_by_driver(
    connection: AsyncConnection, statement: sa.Executable, parameters: Mapping[str, Any]
) -> Rows:
    """Have SQLAlchemy write the statement, once, and the driver run it: its own results cost as much as a query."""
    compiled = _compiled(statement, connection.dialect)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    rows: Rows = await driver.fetch(compiled.string, *(parameters[name] for name in compiled.positiontup))
    return rows


@cache
def _compiled(statement: sa.Executable, dialect: sa.Dialect) -> Any:
    assert isinstance(statement, sa.ClauseElement)
    return statement.compile(dialect=dialect)


def _postgresql() -> _Dialect:
    new = (
        sa.func.unnest(*(sa.bindparam(name, type_=sa.ARRAY(pets.c[name].type)) for name in _COLUMNS))
        .table_valued(*_COLUMNS, with_ordinality="position")
        .render_derived()
    )
    in_order = sa.select(*(new.c[name] for name in _COLUMNS)).order_by(new.c.position)
    # Rows are locked in the order of ids, whatever the plan, so that requests for the same pets cannot deadlock.
    found = (
        sa.select(pets.c.id)
        .where(pets.c.id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger))))
        .order_by(pets.c.id)
        .with_for_update()
    )
    return _Dialect(
        fetch=_fetch_by_driver,
        insert=sa.insert(pets).from_select(_COLUMNS, in_order).returning(pets.c.id),
        insert_parameters=lambda new: {name: [getattr(pet, name) for pet in new] for name in _COLUMNS},
        delete=sa.delete(pets).where(pets.c.id.in_(found)).returning(pets.c.id),
    )


async def _fetch(connection: AsyncConnection, statement: sa.Executable, parameters: Mapping[str, Any]) -> Rows:
    return (await connection.execute(statement, parameters)).all()


def _sqlite() -> _Dialect:
    new = sa.func.json_each(sa.bindparam("pets", type_=sa.JSON)).table_valued("key", "value")
    in_order = sa.select(*(sa.func.json_extract(new.c.value, f"$.{name}") for name in _COLUMNS)).order_by(new.c.key)
    ids = sa.func.json_each(sa.bindparam("ids", type_=sa.JSON)).table_valued("value")
    return _Dialect(
        fetch=_fetch,
        insert=sa.insert(pets).from_select(_COLUMNS, in_order).returning(pets.c.id),
        insert_parameters=lambda new: {
            "pets": [
                {"name": pet.name, "age": pet.age, "type": pet.type, "created_at": pet.created_at.isoformat(" ")[:19]}
                for pet in new
            ]
        },
        delete=sa.delete(pets).where(pets.c.id.in_(sa.select(ids.c.value))).returning(pets.c.id),
    )
