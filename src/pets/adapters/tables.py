"""The schema as this version needs it. The migrations lead there; a test holds the two together."""

from typing import Any, Final

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from pets.domain.pet import CONTROL, MAX_AGE, MAX_NAME_LENGTH, MIN_AGE, WHITE_SPACE, PetType

REVISION: Final = "pets_0001"
"""The newest migration: the one that `metadata` describes."""

VERSION_TABLE: Final = "alembic_version"

metadata = MetaData()

_control = CONTROL.replace(r"\u0000", r"\u0001")  # PostgreSQL's text cannot hold NUL, nor its regular expressions
_name_pattern = rf"^[^{WHITE_SPACE}{_control}]([^{_control}]{{0,{MAX_NAME_LENGTH - 2}}}[^{WHITE_SPACE}{_control}])?$"


class _Seconds(DateTimeUTC):
    """Times in UTC and whole seconds; PostgreSQL sees to it in rows that are written by hand, too."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=0))
        return dialect.type_descriptor(sqlite.DATETIME(truncate_microseconds=True))  # type: ignore[no-untyped-call]  # SQLAlchemy's


pets = Table(
    "pets",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("age", SmallInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("created_at", _Seconds, nullable=False),
    CheckConstraint(f"name ~ '{_name_pattern}'", "pets_name_check").ddl_if(dialect="postgresql"),
    CheckConstraint(f"length(name) BETWEEN 1 AND {MAX_NAME_LENGTH}", "pets_name_check").ddl_if(dialect="sqlite"),
    CheckConstraint(f"age BETWEEN {MIN_AGE} AND {MAX_AGE}", "pets_age_check"),
    CheckConstraint(f"type IN ({', '.join(repr(str(kind)) for kind in PetType)})", "pets_type_check"),
    sqlite_autoincrement=True,  # else SQLite gives the id of the newest pet again after that one is removed
)

# One for each order (docs/decisions/0010).
Index("pets_by_type", pets.c.type, pets.c.id)
Index("pets_by_age", pets.c.age, pets.c.id, pets.c.type)
Index("pets_by_created_at", pets.c.created_at, pets.c.id, pets.c.type)
Index("pets_by_name", pets.c.name.collate("C"), pets.c.id, pets.c.type).ddl_if(dialect="postgresql")
Index("pets_by_name", pets.c.name, pets.c.id, pets.c.type).ddl_if(dialect="sqlite")

# How many pets there are of each type: the sum over the slots. Triggers keep it, so it is right whoever writes.
pet_counts = Table(
    "pet_counts",
    metadata,
    Column("type", Text, primary_key=True),
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
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
    Index("pet_keys_by_created_at", "created_at"),
)
