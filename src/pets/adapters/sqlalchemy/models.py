"""The tables, as mapped classes: the one place that names tables and columns.

The migrations create them, and the triggers that keep the counts. A test compares these classes
with the migrated schema of both databases.
"""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from advanced_alchemy.base import DefaultBase
from sqlalchemy import CheckConstraint, Identity, Index, PrimaryKeyConstraint, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.elements import conv

from pets.domain.pet import (
    CONTROL,
    EARLIEST,
    LATEST,
    MAX_AGE,
    MAX_NAME_LENGTH,
    MIN_AGE,
    WHITE_SPACE,
    PetType,
)

REVISION: Final = "pets_0002"
"""The newest migration: the one that leads to these tables."""

FIRST_REVISION: Final = "pets_0001"
"""The revision of version 1.2."""

VERSION_TABLE: Final = "pets_alembic_version"
"""The table with the revision. Its name is our own, so that applications can share a database."""

SHARED_VERSION_TABLE: Final = "alembic_version"
"""The table that versions up to 1.2 used, and that any other application may use."""

ALL_AGES: Final = -1
"""The age of a kept count that stands for pets of all ages."""


class TimeWithZone(sa.TypeDecorator[datetime]):
    """PostgreSQL's `timestamptz(0)`, read and written as times in UTC without a zone.

    The column has a zone, so that a row inserted by hand is right in any session time zone.
    """

    impl = postgresql.TIMESTAMP(timezone=True, precision=0)
    cache_ok = True

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return utc(column)

    def bind_expression(self, bindparam: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        return utc(sa.type_coerce(bindparam, postgresql.TIMESTAMP()))


def utc(time: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Turn PostgreSQL's time with a zone into one in UTC without a zone, or the reverse."""
    return sa.func.timezone(sa.literal_column("'UTC'"), time)


_Id: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Time: Final = TimeWithZone().with_variant(
    sqlite.DATETIME(truncate_microseconds=True),  # type: ignore[no-untyped-call]  # SQLAlchemy's
    "sqlite",
)
_Key: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""A text that is sorted alike on every machine."""


def _check(member: str, **rules: str) -> list[CheckConstraint]:
    """Return the check of a member of a pet. The databases have it in SQL of their own."""
    checks = []
    for dialect, rule in rules.items():
        check = CheckConstraint(rule, name=conv(f"pets_{member}_check"))
        checks.append(check.ddl_if(dialect=dialect))
    return checks


# PostgreSQL's text and regular expressions cannot hold NUL.
_CONTROL: Final = CONTROL.replace(r"\u0000", r"\u0001")
_EDGE: Final = f"[^{WHITE_SPACE}{_CONTROL}]"
_NAME: Final = f"name ~ '^{_EDGE}([^{_CONTROL}]{{0,{MAX_NAME_LENGTH - 2}}}{_EDGE})?$'"
# SQLite's GLOB has no escapes. The spaces are without control characters, which no name has.
_SPACES: Final = (
    "32, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202,"
    " 8232, 8233, 8239, 8287, 12288"
)
_NAME_ON_SQLITE: Final = f"""
    typeof(name) = 'text' AND length(name) BETWEEN 1 AND {MAX_NAME_LENGTH}
    AND instr(name, char(0)) = 0
    AND name NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
    AND name = trim(name, char({_SPACES}))
"""
_AGE: Final = f"age BETWEEN {MIN_AGE} AND {MAX_AGE}"
_TYPE: Final = f"type IN ({', '.join(repr(str(kind)) for kind in PetType)})"
_CREATED_AT: Final = f"created_at BETWEEN '{EARLIEST}+00' AND '{LATEST}+00'"
# Exactly YYYY-MM-DD HH:MM:SS, because times are compared as text. SQLite computes the day only if
# something is added, and so refuses 30 February. For a text that is no time, datetime() is NULL.
_CREATED_AT_ON_SQLITE: Final = f"""
    typeof(created_at) = 'text' AND created_at >= '{EARLIEST}'
    AND created_at IS datetime(created_at, '+0 seconds')
"""


class Pet(DefaultBase):
    """A pet. Its columns have the names and the order of the members of the domain's `Pet`."""

    __tablename__ = "pets"

    id: Mapped[int] = mapped_column(_Id, Identity(always=True))
    name: Mapped[str] = mapped_column(sa.Text)
    age: Mapped[int] = mapped_column(sa.SmallInteger)
    type: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(_Time)

    __table_args__ = (
        PrimaryKeyConstraint("id", name="pets_pkey"),
        CheckConstraint("id >= 1", name=conv("pets_id_check")),
        *_check("name", postgresql=_NAME, sqlite=_NAME_ON_SQLITE),
        *_check("age", postgresql=_AGE, sqlite=f"typeof(age) = 'integer' AND {_AGE}"),
        CheckConstraint(_TYPE, name=conv("pets_type_check")),
        *_check("created_at", postgresql=_CREATED_AT, sqlite=_CREATED_AT_ON_SQLITE),
        # An index for each order. It holds the type and the age, so that pets of other types and
        # ages are skipped without reading the table.
        Index("pets_by_type", "type", "id"),
        Index("pets_by_age", "age", "id", "type"),
        Index("pets_by_created_at", "created_at", "id", "type", "age"),
        Index("pets_by_name", sa.text('name COLLATE "C"'), "id", "type", "age").ddl_if(
            dialect="postgresql"
        ),
        Index("pets_by_name", "name", "id", "type", "age").ddl_if(dialect="sqlite"),
        # Otherwise SQLite would give the id of the newest pet again after its removal.
        {"sqlite_autoincrement": True},
    )


class PetCount(DefaultBase):
    """How many pets of a type and an age there are. Triggers keep the counts.

    On PostgreSQL a count is a sum, because there each transaction that writes adds to a `slot` of
    its own (docs/decisions/0007). Only the triggers know of slots.
    """

    __tablename__ = "pet_counts"

    age: Mapped[int] = mapped_column(sa.SmallInteger, autoincrement=False)
    """ALL_AGES stands for all ages."""
    type: Mapped[str] = mapped_column(sa.Text)
    count: Mapped[int] = mapped_column(sa.BigInteger)

    __table_args__ = (
        PrimaryKeyConstraint("age", "type", name="pet_counts_pkey"),
        # In the free space of its page a count is updated without touching the index (HOT).
        {"postgresql_with": {"fillfactor": 50}, "sqlite_with_rowid": False},
    )


class PetKey(DefaultBase):
    """A pet that was added under a key, as it was when it was added."""

    __tablename__ = "pet_keys"

    key: Mapped[str] = mapped_column(_Key)
    id: Mapped[int] = mapped_column(sa.BigInteger)
    name: Mapped[str] = mapped_column(sa.Text)
    age: Mapped[int] = mapped_column(sa.SmallInteger)
    type: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(_Time)
    """The time of the key, by the clock of the database."""
    pet_created_at: Mapped[datetime | None] = mapped_column(_Time)
    """The time of the pet. In rows that version 1.2 wrote it is absent, and equal to that above."""

    __table_args__ = (
        PrimaryKeyConstraint("key", name="pet_keys_pkey"),
        Index("pet_keys_by_created_at", "created_at"),
    )


def _table_of(model: type[DefaultBase]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


metadata: Final = DefaultBase.metadata
pets: Final = _table_of(Pet)
pet_counts: Final = _table_of(PetCount)
pet_keys: Final = _table_of(PetKey)
pet_ids: Final = sa.Sequence("pets_id_seq")
"""Where PostgreSQL takes the ids of new pets from."""


def version_of(table: str) -> sa.Select[str]:
    """Select the revisions in a table of Alembic's."""
    revision: sa.Column[str] = sa.Column("version_num", sa.Text)
    return sa.select(Table(table, sa.MetaData(), revision).c.version_num)
