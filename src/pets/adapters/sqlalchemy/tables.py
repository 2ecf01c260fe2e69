"""The tables and columns that the statements use.

The migration makes them, with their checks, indexes and triggers; a test holds the two together.
"""

from typing import Any, Final

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, SmallInteger, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

REVISION: Final = "pets_0001"
"""The newest migration: the one that leads to these tables."""

VERSION_TABLE: Final = "alembic_version"

metadata = MetaData()


class _Seconds(DateTimeUTC):
    """Times in UTC and whole seconds."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=0))
        text = sqlite.DATETIME(truncate_microseconds=True)  # type: ignore[no-untyped-call]  # SQLAlchemy's
        return dialect.type_descriptor(text)


pets = Table(
    "pets",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("age", SmallInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("created_at", _Seconds, nullable=False),
)

# How many pets there are of each type: the sum over the slots. Triggers keep it, so it is right
# whoever writes.
pet_counts = Table(
    "pet_counts",
    metadata,
    Column("type", Text, primary_key=True),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
)

# The pets that were added under a key, as they were then.
pet_keys = Table(
    "pet_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("age", SmallInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("created_at", _Seconds, nullable=False),
)
