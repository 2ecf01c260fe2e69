"""Pets in PostgreSQL or SQLite, by SQLAlchemy Core: one statement a call, committed by itself."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.tables import REVISION, VERSION_TABLE, pet_counts, pets
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import MAX_ID, NewPet, Pet, PetType
from pets.domain.repository import PetPage

# The count and the items come from one statement, so from one snapshot; the count's row is there without items too.
_total = sa.select(
    sa.cast(sa.func.coalesce(sa.func.sum(pet_counts.c.count), 0), sa.BigInteger).label("total")
).subquery()
_first = sa.select(pets).order_by(pets.c.id).limit(sa.bindparam("limit")).subquery()
_PAGE: Final = sa.select(_total, _first).select_from(_total.outerjoin(_first, sa.true())).order_by(_first.c.id)

_VERSION: Final[sa.Select[Any]] = sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))


class SQLAlchemyPetRepository:
    """A `PetRepository` over an engine of `pets.adapters.engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._dialect = _postgresql() if engine.dialect.name == "postgresql" else _sqlite()

    async def add(self, pets: Sequence[NewPet]) -> Sequence[Pet]:
        rows = await self._execute(self._dialect.insert, self._dialect.insert_parameters(pets))
        return [pet.with_id(id_) for pet, id_ in zip(pets, sorted(row.id for row in rows), strict=True)]

    async def page(self, limit: int) -> PetPage:
        rows = await self._execute(_PAGE, {"limit": limit})
        return PetPage(rows[0].total, [_pet(row) for row in rows if row.id is not None])

    async def remove(self, ids: Collection[int]) -> set[int]:
        possible = [id_ for id_ in ids if 1 <= id_ <= MAX_ID]  # others do not fit the parameter's type
        rows = await self._execute(self._dialect.delete, {"ids": possible})
        return {row.id for row in rows}

    async def check(self) -> None:
        rows = await self._execute(_VERSION, {})
        if [row.version_num for row in rows] != [REVISION]:
            raise StoreUnavailable("The store is not migrated to this version; `pets migrate` does that.")

    # Any: a row's types are those of its statement
    async def _execute(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        try:
            async with self._engine.connect() as connection:
                result = await connection.execute(statement, parameters)
                return result.all()
        except (IntegrityError, DataError):  # a value that the domain should have refused: a bug, not a failing store
            raise
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            raise StoreUnavailable("The store cannot be reached or does not answer.") from error


_TYPES: Final = {str(kind): kind for kind in PetType}


def _pet(row: Any) -> Pet:  # Any: a row of _PAGE
    _, id_, name, age, type_, created_at = row
    return Pet(id_, name, age, _TYPES[type_], created_at)


_COLUMNS: Final = ["name", "age", "type", "created_at"]


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a database takes a set as one parameter, so that a statement is the same for any number of pets."""

    insert: sa.Executable
    insert_parameters: Callable[[Sequence[NewPet]], Mapping[str, Any]]
    delete: sa.Executable


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
        insert=sa.insert(pets).from_select(_COLUMNS, in_order).returning(pets.c.id),
        insert_parameters=lambda new: {name: [getattr(pet, name) for pet in new] for name in _COLUMNS},
        delete=sa.delete(pets).where(pets.c.id.in_(found)).returning(pets.c.id),
    )


def _sqlite() -> _Dialect:
    new = sa.func.json_each(sa.bindparam("pets", type_=sa.JSON)).table_valued("key", "value")
    in_order = sa.select(*(sa.func.json_extract(new.c.value, f"$.{name}") for name in _COLUMNS)).order_by(new.c.key)
    ids = sa.func.json_each(sa.bindparam("ids", type_=sa.JSON)).table_valued("value")
    return _Dialect(
        insert=sa.insert(pets).from_select(_COLUMNS, in_order).returning(pets.c.id),
        insert_parameters=lambda new: {
            "pets": [
                {"name": pet.name, "age": pet.age, "type": pet.type, "created_at": pet.created_at.isoformat(" ")[:19]}
                for pet in new
            ]
        },
        delete=sa.delete(pets).where(pets.c.id.in_(sa.select(ids.c.value))).returning(pets.c.id),
    )
