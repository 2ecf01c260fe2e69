"""What is asked of both databases: SQLAlchemy's constructs over the mapped columns.

Each database has its own way to pass a set to a statement. So a statement is the same for any
number of pets, and is made and compiled once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, Final, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    FromClause,
    MetaData,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from pets.adapters.sqlalchemy.models import pet_keys, pets
from pets.domain.pet import NewPet, Pet, PetChange, PetType

# Any: each column has a type of its own, and SQLAlchemy's rows know it by name and by itself.
Row = Mapping[Any, Any]
Rows = Sequence[Row]
Parameters = dict[str, object]

PET: Final = [pets.c[member] for member in Pet._fields]
MEMBERS: Final = [pets.c[member.name] for member in fields(NewPet)]
"""The columns of a pet without an id."""
CHANGEABLE: Final = [pets.c[member.name] for member in fields(PetChange)]

members_of: Final = attrgetter(*(column.name for column in MEMBERS))
changes_of: Final = attrgetter(*(column.name for column in CHANGEABLE))
_values_of: Final = itemgetter(*Pet._fields)
_TYPE: Final = Pet._fields.index("type")
_KINDS: Final = {str(kind): kind for kind in PetType}  # A look-up takes less than a call.


def pets_of(rows: Rows) -> list[Pet]:
    """Return the pets of rows that have the columns of a pet."""
    return pets_of_values(map(_values_of, rows))


def pets_of_values(rows: Iterable[Iterable[Any]]) -> list[Pet]:  # Any: as above.
    """Return the pets of rows that have the values of the columns `PET`, in this order."""
    pets = []
    for row in rows:
        values = list(row)
        values[_TYPE] = _KINDS[values[_TYPE]]
        pets.append(Pet(*values))
    return pets


def pets_of_columns(columns: Row) -> list[Pet]:
    """Return the pets of one row that has all values of each column of a pet."""
    values = list(_values_of(columns))
    values[_TYPE] = map(_KINDS.__getitem__, values[_TYPE])
    return list(map(Pet, *values))


@cache
def compiled(statement: ClauseElement, dialect: Dialect) -> tuple[str, Sequence[str]]:
    """Return a statement as a driver runs it, and the names of its parameters in their order."""
    sql = statement.compile(dialect=dialect)
    if not isinstance(sql, SQLCompiler):  # It creates or drops something.
        return str(sql), ()
    for parameter in sql.binds.values():
        # Otherwise a constant of Python has become a parameter, for which there is no value.
        assert parameter.required, parameter
    return sql.string, sql.positiontup or ()


class RowSet(Protocol):
    """Rows that are passed to a statement."""

    table: FromClause
    """The rows as the statement reads them. Beside their columns they have their `position`."""

    def has(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether one of the rows has the value of this column, in their column of its name."""
        ...

    def of(self, rows: Iterable[Sequence[object]]) -> Parameters:
        """Return the parameters of the statement with these rows."""
        ...


class Database(Protocol):
    """What each database writes in its own way."""

    def rows(self, name: str, columns: Sequence[ColumnElement[Any]]) -> RowSet:
        """Return a set of rows. Each set of a statement has another name."""
        ...

    def is_one_of(self, column: ColumnElement[Any], selected: Select[Any]) -> ColumnElement[bool]:
        """Whether a selection has the value of the column."""
        ...

    def is_expired(self, time: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether the time is over, with the parameter `key_ttl`, by the clock of the database."""
        ...


class Statements:
    """The statements about pets and keys, and the sets that are passed to them."""

    def __init__(self, database: Database) -> None:
        self.new = database.rows("new", MEMBERS)
        self.ids = database.rows("chosen", [pets.c.id])
        self.keys = database.rows("used", [pet_keys.c.key])
        self.expected = database.rows("expected", PET)
        self.changes = database.rows("change", [pets.c.id, *CHANGEABLE])

        new = self.new.table.c
        added = select(*(new[column.name] for column in MEMBERS)).order_by(new.position)
        self.add = insert(pets).from_select(MEMBERS, added).returning(pets.c.id)
        self.find = select(*PET).where(self.ids.has(pets.c.id))

        locked = self._locked(self.ids).cte("locked")
        self.remove = delete(pets).where(pets.c.id.in_(select(locked.c.id))).returning(pets.c.id)
        locked = self._locked(self.changes).cte("locked")
        change = self.changes.table.c
        self.change = (
            update(pets)
            .values({column: func.coalesce(change[column.name], column) for column in CHANGEABLE})
            .where(pets.c.id == locked.c.id, change.id == locked.c.id)
            .returning(*PET)
        )

        self.find_keys = select(*keyed()).where(self.keys.has(pet_keys.c.key))
        oldest = (
            select(pet_keys.c.key)
            .where(database.is_expired(pet_keys.c.created_at))
            .order_by(pet_keys.c.created_at)
            .limit(bindparam("number", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self.clear_keys = delete(pet_keys).where(database.is_one_of(pet_keys.c.key, oldest))

    def _locked(self, chosen: RowSet) -> Select[tuple[int]]:
        """Select the chosen pets, except for those that differ from what is expected.

        They are locked in the order of ids, so that calls for the same pets cannot deadlock.
        SQLite has one writer at a time, and knows no such lock.
        """
        expected = self.expected.table.c
        is_expected = or_(
            ~self.expected.has(pets.c.id),
            tuple_(*PET).in_(select(*(expected[column.name] for column in PET))),
        )
        return (
            select(pets.c.id)
            .where(chosen.has(pets.c.id), is_expected)
            .order_by(pets.c.id)
            .with_for_update()
        )


def keyed() -> list[ColumnElement[Any]]:
    """Return the columns of a key and of its pet, as it was when it was added."""
    members: dict[str, ColumnElement[Any]] = {}
    for column in PET:
        members[column.name] = pet_keys.c[column.name]
    created_at = func.coalesce(pet_keys.c.pet_created_at, pet_keys.c.created_at)
    members["created_at"] = created_at.label("created_at")
    return [pet_keys.c.key, pet_keys.c.created_at.label("claimed_at"), *members.values()]


STAGED: Final = Table(
    "staged",
    MetaData(),
    Column("number", BigInteger),
    *(Column(column.name, column.type) for column in PET),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
"""Pets to be loaded, with the numbers by which their caller knows them."""


def _refused() -> Select[tuple[int]]:
    same_id = func.row_number().over(partition_by=STAGED.c.id, order_by=STAGED.c.number)
    staged = (
        select(STAGED.c.number, STAGED.c.id, same_id.label("nth"))
        .where(STAGED.c.id.is_not(None))
        .subquery()
    )
    is_taken = select(pets.c.id).where(pets.c.id == staged.c.id).exists()
    is_later = staged.c.nth > literal_column("1")
    return select(staged.c.number).where(or_(is_later, is_taken)).order_by(staged.c.number)


REFUSED: Final = _refused()
"""The numbers of the staged pets whose id is taken, by a pet of the store or by one before it."""
