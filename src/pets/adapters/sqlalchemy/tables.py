"""The tables and columns that the statements use.

The migration creates them, with their checks, indexes and triggers.
A test compares the two.
"""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, MetaData, SmallInteger, Table, Text
from sqlalchemy.dialects import postgresql, sqlite

REVISION: Final = "pets_0002"
"""The newest migration: the one that leads to these tables."""

VERSION_TABLE: Final = "pets_alembic_version"
"""The table with the revision. Its name is our own, so that applications can share a database."""

SHARED_VERSION_TABLE: Final = "alembic_version"
"""The table that versions up to 1.2 used, and that any other application may use."""

FIRST_REVISION: Final = "pets_0001"
"""The revision of version 1.2."""


class _TimeWithZone(sa.TypeDecorator[datetime]):
    """PostgreSQL's `timestamptz(0)`, read and written as times in UTC without a zone.

    The column has a zone, so that a row inserted by hand is right in any session time zone.
    """

    impl = postgresql.TIMESTAMP(timezone=True, precision=0)
    cache_ok = True

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.func.timezone(sa.literal_column("'UTC'"), column)

    def bind_expression(self, bindparam: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        time = sa.type_coerce(bindparam, postgresql.TIMESTAMP())
        return sa.func.timezone(sa.literal_column("'UTC'"), time)


_Id: Final = BigInteger().with_variant(Integer, "sqlite")
_Time: Final = _TimeWithZone().with_variant(
    sqlite.DATETIME(truncate_microseconds=True),  # type: ignore[no-untyped-call]  # SQLAlchemy's
    "sqlite",
)

metadata = MetaData()


def _members() -> list[Column[Any]]:
    return [
        Column("name", Text, nullable=False),
        Column("age", SmallInteger, nullable=False),
        Column("type", Text, nullable=False),
        Column("created_at", _Time, nullable=False),
    ]


pets = Table("pets", metadata, Column("id", _Id, primary_key=True), *_members())

# The number of pets by age and type, where age -1 stands for all ages. Triggers keep it up to date.
# PostgreSQL also has a `slot`, and the number is the sum over the slots.
pet_counts = Table(
    "pet_counts",
    metadata,
    Column("age", SmallInteger, primary_key=True, autoincrement=False),
    Column("type", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# Pets that were added under a key, as they were when they were added. Here `created_at` is the time
# of the key, by the clock of the database. `pet_created_at` is that of the pet, unless version 1.2
# wrote the row: then one time is both.
pet_keys = Table(
    "pet_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("id", BigInteger, nullable=False),
    *_members(),
    Column("pet_created_at", _Time),
)
