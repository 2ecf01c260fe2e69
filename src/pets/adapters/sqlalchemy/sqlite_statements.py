"""What is asked of SQLite in its own way: sets as JSON, keys, and pages by the kept counts.

SQLite answers one query at a time: the count first, and then the pets by the way that is short.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cache
from json import dumps
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Dialect,
    FromClause,
    Select,
    Text,
    TypeDecorator,
    bindparam,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    table,
)
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from pets.adapters.sqlalchemy.listing import ALL_AGES, ZERO, Columns, Shape
from pets.adapters.sqlalchemy.models import pet_counts, pet_keys, pets
from pets.adapters.sqlalchemy.statements import PET, Parameters, Statements
from pets.domain.query import PetSort

_CODE_POINTS: Final = "BINARY"
_NOW: Final[ColumnElement[str]] = literal_column("'now'")


class JSONRows:
    """Rows, as JSON with an array for each."""

    def __init__(self, name: str, columns: Sequence[ColumnElement[Any]]) -> None:
        self._name = name
        rows = func.json_each(bindparam(name, type_=Text)).table_valued("key", "value")
        values = []
        for number, each in enumerate(columns):
            place: ColumnElement[str] = literal_column(f"'$[{number}]'")
            values.append(func.json_extract(rows.c.value, place).label(each.name))
        selected = select(*values, rows.c.key.label("position"))
        self.table: FromClause = selected.subquery(name)

    def has(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        return column.in_(select(self.table.c[column.name]))

    def of(self, rows: Iterable[Sequence[object]]) -> Parameters:
        return {self._name: dumps(list(rows), default=str)}


class _Ago(TypeDecorator[timedelta]):
    """How long ago, as SQLite adds it to a time."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, _: Dialect) -> str | None:
        return None if value is None else f"-{value.total_seconds()} seconds"


class SQLiteDatabase:
    """What SQLite writes in its own way."""

    rows = JSONRows

    def is_one_of(self, column: ColumnElement[Any], selected: Select[Any]) -> ColumnElement[bool]:
        return column.in_(selected)

    def is_expired(self, time: ColumnElement[Any]) -> ColumnElement[bool]:
        return time <= func.datetime(_NOW, bindparam("key_ttl", type_=_Ago))


DATABASE: Final = SQLiteDatabase()
STATEMENTS: Final = Statements(DATABASE)

FORGET_KEYS: Final = delete(pet_keys).where(
    STATEMENTS.keys.has(pet_keys.c.key), DATABASE.is_expired(pet_keys.c.created_at)
)
NEW_KEYS: Final = JSONRows("new", [pet_keys.c.key, pet_keys.c.id])
"""The keys that `ADD_KEYS` adds, each with the id of a pet that was just added."""


def _add_keys() -> Any:
    new = NEW_KEYS.table
    claim = {
        "key": new.c.key,
        **{each.name: each for each in PET},
        "created_at": func.datetime(_NOW),
        "pet_created_at": pets.c.created_at,
    }
    selected = select(*claim.values()).select_from(new.join(pets, pets.c.id == new.c.id))
    return insert(pet_keys).from_select(list(claim), selected)


ADD_KEYS: Final = _add_keys()

_objects: Final = table("sqlite_master", column("name"), column("type"))
TABLES: Final = select(_objects.c.name).where(_objects.c.type == literal_column("'table'"))

SEQUENCES: Final = table("sqlite_sequence", column("name"), column("seq"))
IS_OF_PETS: Final = SEQUENCES.c.name == literal_column(f"'{pets.name}'")
IDS: Final = select(
    func.coalesce(
        select(func.max(SEQUENCES.c.seq)).where(IS_OF_PETS).scalar_subquery(), ZERO
    ).label("given"),
    func.coalesce(select(func.max(pets.c.id)).scalar_subquery(), ZERO).label("highest"),
)
"""The last id that SQLite remembers to have given, and the highest id of a pet."""


@cache
def counts(shape: Shape) -> Select[int, int]:
    """Return the statement for the `count` of a query, and of all pets in `total`."""
    asked = shape.parameters()
    if not shape.is_kept:
        found = select(func.count().label("count"), ZERO.label("total")).select_from(pets)
        return found.where(*_filters(shape, asked, pets.c))
    count = _kept(*shape.kept_filters(asked)).label("count")
    return select(count, _kept(pet_counts.c.age == ALL_AGES).label("total"))


@cache
def page(shape: Shape, *, walks: bool) -> Select[Any]:
    """Return the statement for the pets of a page, a row for each."""
    asked = shape.parameters()
    chosen = select(*PET).where(*_filters(shape, asked, _UNINDEXED if walks else pets.c))
    # SQLite would look for the few pets of a name or a time in the order of another index.
    is_of_few = shape.has_name_is or (shape.has_created and shape.sort is not PetSort.CREATED_AT)
    return shape.first(asked, chosen, _UNINDEXED if is_of_few else pets.c, _CODE_POINTS)


def _kept(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(pet_counts.c.count).filter(*conditions), ZERO)


def _filters(shape: Shape, asked: Columns, found: Columns) -> list[ColumnElement[bool]]:
    # SQLite has no statistics. It would find all dogs by their index, and among them the few pets
    # that have an id, a name or a time.
    filters = shape.search_filters(asked, _UNINDEXED if shape.has_ids else found, _CODE_POINTS)
    if shape.has_ids or filters:
        found = _UNINDEXED
    filters += shape.filters(asked, found)
    if shape.has_ids:
        filters.append(STATEMENTS.ids.has(pets.c.id))
    if shape.has_name:
        filters.append(func.instr(func.casefold(pets.c.name), asked["part"]) > ZERO)
    return filters


def _unindexed(each: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the column with a plus, so that SQLite does not search an index for it."""
    return UnaryExpression(each, operator=custom_op("+"), type_=each.type)


_UNINDEXED: Final = {each.name: _unindexed(each) for each in pets.c}
