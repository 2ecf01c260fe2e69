"""Pages: which pets a query chooses, in which order, and the short way to them.

The shape of a query is everything about it but its values. Each shape has one statement.

The count of a listing is the sum of the counts that triggers keep (docs/decisions/0007).
It also tells which of two ways to the pets is short:

- Walk: read the index of the order, and pass over pets that the filters leave out. If `count` of
  `total` pets pass, that reads about `page_limit * total / count` entries.
- Gather: read the pets that pass, by the index of ages or types, and sort them. That reads `count`
  pets, each of which takes about ten times as long as an entry of a walk.

So no page depends on statistics, and no plan can become wrong (docs/decisions/0017).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from pets.adapters.sqlalchemy import models
from pets.adapters.sqlalchemy.models import pet_counts, pets
from pets.adapters.sqlalchemy.statements import Parameters, Rows
from pets.domain.pet import EARLIEST, LATEST, MAX_AGE, MIN_AGE, PetType
from pets.domain.query import PetQuery, PetSort
from pets.domain.statistics import Counts

# Any, here and below: each column has a type of its own.
Columns = Mapping[str, ColumnElement[Any]] | ReadOnlyColumnCollection[str, ColumnElement[Any]]
Condition = ColumnElement[bool]

COST_OF_GATHERING: Final = 10
"""How many times as long as an entry of a walk a gathered pet takes."""

# A constant of Python would become a parameter, which a plan for all values does not know.
ZERO: Final = literal_column("0", BigInteger)
ALL_AGES: Final = literal_column(str(models.ALL_AGES), pet_counts.c.age.type)


class Shape(NamedTuple):
    """What queries must have in common to be answered by one statement."""

    has_type: bool
    has_age: bool
    has_name: bool
    sort: PetSort
    descending: bool
    has_position: bool
    has_name_is: bool = False
    has_created: bool = False
    has_ids: bool = False

    @classmethod
    def of(cls, query: PetQuery) -> "Shape":
        return cls(
            query.type is not None,
            query.age_min is not None or query.age_max is not None,
            query.name is not None,
            query.sort,
            query.descending,
            query.after is not None,
            query.name_is is not None,
            query.created_from is not None or query.created_to is not None,
            query.ids is not None,
        )

    @property
    def is_kept(self) -> bool:
        """Whether the kept counts say how many pets a query of this shape has."""
        return not (self.has_name or self.has_name_is or self.has_created or self.has_ids)

    @property
    def is_filtered(self) -> bool:
        return self.has_type or self.has_age

    def columns(self) -> list[Column[Any]]:
        """Return the columns of `values_of` a query. The filters need not read all of them."""
        return [
            Column("page_limit", BigInteger),
            Column("type", pets.c.type.type),
            Column("age_min", pets.c.age.type),
            Column("age_max", pets.c.age.type),
            Column("after_value", pets.c[self.sort].type),
            Column("after_id", pets.c.id.type),
        ]

    def parameters(self) -> Columns:
        """Return the parameters of a statement for one query: the same, and those of a search."""
        columns = [
            *self.columns(),
            Column("part", Text),
            Column("name_is", Text),
            Column("created_from", pets.c.created_at.type),
            Column("created_to", pets.c.created_at.type),
        ]
        return {column.name: bindparam(column.name, type_=column.type) for column in columns}

    def filters(self, asked: Columns, found: Columns) -> list[Condition]:
        """Return the filters by type and age. The databases compare parts of names differently."""
        filters: list[Condition] = []
        if self.has_type:
            filters.append(found["type"] == asked["type"])
        if self.has_age:
            filters.append(found["age"].between(asked["age_min"], asked["age_max"]))
        return filters

    def search_filters(self, asked: Columns, found: Columns, code_points: str) -> list[Condition]:
        """Return the filters by the whole name and the time. `code_points` is as in `first`."""
        filters: list[Condition] = []
        if self.has_name_is:
            filters.append(found["name"].collate(code_points) == asked["name_is"])
        if self.has_created:
            ends = asked["created_from"], asked["created_to"]
            filters.append(found["created_at"].between(*ends))
        return filters

    def walk_filters(self, asked: Columns, found: Columns) -> list[Condition]:
        """Return the same for a walk.

        In the order of ages the position is one end of the ages. If both ends were named as well,
        PostgreSQL would begin a descending walk at the highest age.
        """
        if not (self.has_age and self.has_position and self.sort is PetSort.AGE):
            return self.filters(asked, found)
        age = found["age"]
        end = age >= asked["age_min"] if self.descending else age <= asked["age_max"]
        return [*self._replace(has_age=False).filters(asked, found), end]

    def kept_filters(self, asked: Columns) -> list[Condition]:
        """Return the filters of the kept counts whose sum is the count of the query."""
        filters = self.filters(asked, pet_counts.c)
        return filters if self.has_age else [*filters, pet_counts.c.age == ALL_AGES]

    def first(
        self, asked: Columns, chosen: Select[Any], found: Columns, code_points: str
    ) -> Select[Any]:
        """Select the first pets of a selection beyond the position, in the order of the query.

        `code_points` is the collation that compares names by code points.
        """
        order = [found["id"]]
        position = [asked["after_id"]]
        if self.sort is not PetSort.ID:
            column = found[self.sort]
            is_name = self.sort is PetSort.NAME
            order.insert(0, column.collate(code_points) if is_name else column)
            position.insert(0, asked["after_value"])
        if self.has_position:
            place, after = tuple_(*order), tuple_(*position)
            chosen = chosen.where(place < after if self.descending else place > after)
        if self.descending:
            order = [each.desc() for each in order]
        return chosen.order_by(*order).limit(asked["page_limit"])


def values_of(query: PetQuery) -> Sequence[object]:
    """Return the values of a query, except for those of a search."""
    return (
        # One pet more shows that there is another page. A page without pets has no other page.
        query.limit + 1 if query.limit else 0,
        query.type,
        MIN_AGE if query.age_min is None else query.age_min,
        MAX_AGE if query.age_max is None else query.age_max,
        None if query.after is None else query.after.value,
        None if query.after is None else query.after.id,
    )


def parameters_of(query: PetQuery, part: str) -> Parameters:
    """Return the parameters of a statement for one query."""
    names = [column.name for column in Shape.of(query).columns()]
    return {
        **dict(zip(names, values_of(query), strict=True)),
        "part": part,
        "name_is": query.name_is,
        "created_from": query.created_from or EARLIEST,
        "created_to": query.created_to or LATEST,
    }


def kept_counts() -> Select[str, int, int]:
    """Select how many pets of each type and age there are.

    On PostgreSQL each number is a sum over slots.
    """
    kind, age = pet_counts.c.type, pet_counts.c.age
    number = cast(func.sum(pet_counts.c.count), BigInteger).label("count")
    return select(kind, age, number).where(age != ALL_AGES).group_by(kind, age)


COUNTS: Final = kept_counts()


def counts_of(rows: Rows) -> Counts:
    """Return the counts in the rows of `COUNTS`."""
    return {(PetType(row["type"]), row["age"]): row["count"] for row in rows}


def kept_count(*conditions: Condition) -> Select[int]:
    """Select the sum of the kept counts that meet the conditions."""
    count = func.coalesce(func.sum(pet_counts.c.count), ZERO)
    return select(cast(count, BigInteger).label("count")).where(*conditions)
