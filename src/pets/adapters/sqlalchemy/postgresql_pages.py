"""Pages from PostgreSQL: one statement answers any number of listings of one shape.

Its parameters are arrays with a value for each query, so it is the same for any number of queries,
and PostgreSQL plans it once a session. It has both ways to the pets, a walk and a gathering, and
runs the one that is shorter. Searches and exports have a statement for each query instead, whose
plan is made for its values.

A page is one row with an array for each column, because that costs less than a row for each pet.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Select,
    cast,
    column,
    false,
    func,
    literal_column,
    select,
    table,
    true,
    union_all,
)
from sqlalchemy.sql.selectable import LateralFromClause, SelectBase

from pets.adapters.sqlalchemy.listing import (
    ALL_AGES,
    COST_OF_GATHERING,
    ZERO,
    Columns,
    Shape,
    kept_count,
)
from pets.adapters.sqlalchemy.models import TimeWithZone, pet_counts, pets, utc
from pets.adapters.sqlalchemy.postgresql_statements import STATEMENTS, ArrayRows
from pets.adapters.sqlalchemy.statements import PET

Fold = Callable[[ColumnElement[str]], ColumnElement[str]]
"""Folds the case of a text, as well as a server can."""

_CODE_POINTS: Final = "C"

_collations: Final = table("pg_collation", column("collname"))
ICU: Final = select(_collations).where(_collations.c.collname == literal_column("'und-x-icu'"))
"""Whether the server has ICU."""


def casefold(text: ColumnElement[str]) -> ColumnElement[str]:
    return func.casefold(text.collate("pg_unicode_fast"))


def upper_by_icu(text: ColumnElement[str]) -> ColumnElement[str]:
    """Of the two, upper() is closer, because it makes SS of ß and has one sigma."""
    return func.upper(text.collate("und-x-icu"))


@cache
def asked_queries(shape: Shape) -> ArrayRows:
    """Return the set of queries that `listing` answers."""
    return ArrayRows("asked", shape.columns())


@cache
def listing(shape: Shape) -> Select[Any]:
    """Return the statement for any number of listings of a shape.

    Each row is a page: the `position` of its query, its `count`, and arrays of pets' members.
    """
    asked = asked_queries(shape).table
    total = kept_count(pet_counts.c.age == ALL_AGES).subquery("total")
    # `pets AS locked` reads nothing. It locks `pets` before `pet_counts`, as TRUNCATE does. In the
    # opposite order the two could deadlock.
    source = asked.outerjoin(pets.alias("locked"), false()).join(total, true())
    if not shape.is_filtered:
        walk = shape.first(asked.c, select(pets), pets.c, _CODE_POINTS)
        page = _page(walk.correlate(asked), asked)
        joined = source.join(page, true())
        return select(asked.c.position, total.c.count, *page.c).select_from(joined)
    chosen = kept_count(*shape.kept_filters(asked.c)).lateral("chosen")
    choice = _choice(asked, chosen, total)
    page = _page(_walk_or_gathering(shape, asked, choice), asked, choice)
    joined = source.join(chosen, true()).join(choice, true()).join(page, true())
    return select(asked.c.position, chosen.c.count, *page.c).select_from(joined)


@cache
def search(shape: Shape, fold: Fold) -> Select[Any]:
    """Return the statement for one query that the kept counts cannot answer.

    Its row is a page as in `listing`.
    """
    asked = shape.parameters()
    source = _source(shape)
    filters = _filters(shape, asked, source.c, fold)
    chosen = (
        select(func.count().label("count")).select_from(source).where(*filters).subquery("chosen")
    )
    # Without OFFSET 0, PostgreSQL would look for the part of a name in the order of an index,
    # because it cannot know how rare the part is. That takes twenty times as long as reading the
    # table. And it would look for the newest pets in the order of ids, because it does not know
    # that ids and times ascend together.
    gathered = select(source).where(*filters).offset(ZERO).subquery("gathered")
    page = _page(shape.first(asked, select(gathered), gathered.c, _CODE_POINTS))
    return select(chosen.c.count, *page.c).select_from(chosen.join(page, true()))


@cache
def export(shape: Shape, fold: Fold) -> Select[Any]:
    """Return the statement for the pets of one query, a row for each."""
    asked = shape.parameters()
    source = _source(shape)
    columns = [source.c[column.name] for column in PET]
    chosen = select(*columns).where(*_filters(shape, asked, source.c, fold))
    return shape.first(asked, chosen, source.c, _CODE_POINTS)


def _source(shape: Shape) -> FromClause:
    """Return the pets, or those with the ids that are asked for."""
    if not shape.has_ids:
        return pets
    # OFFSET 0 has PostgreSQL find the ids first. It does not know how few pass the other filters.
    # As a CTE they are read once, to be counted and to be listed.
    return select(pets).where(STATEMENTS.ids.has(pets.c.id)).offset(ZERO).cte("named")


def _filters(shape: Shape, asked: Columns, found: Columns, fold: Fold) -> list[ColumnElement[bool]]:
    filters = shape.filters(asked, found) + shape.search_filters(asked, found, _CODE_POINTS)
    if shape.has_name:
        filters.append(fold(found["name"]).like(fold(asked["part"])))
    return filters


def _choice(asked: FromClause, chosen: FromClause, total: FromClause) -> LateralFromClause:
    """Return `gathers`: whether the chosen pets are few, so that gathering is the shorter way."""
    # float8, because the squares of large counts do not fit into bigint.
    count, all_ = cast(chosen.c.count, Double), cast(total.c.count, Double)
    gathered: ColumnElement[float] = literal_column(str(COST_OF_GATHERING)) * count * count
    gathers = (gathered <= asked.c.page_limit * all_).label("gathers")
    return select(gathers).correlate(asked, chosen, total).lateral("choice")


def _walk_or_gathering(shape: Shape, asked: FromClause, choice: FromClause) -> SelectBase:
    gathers = choice.c.gathers
    walk = select(pets).where(*shape.walk_filters(asked.c, pets.c), ~gathers)
    walk = shape.first(asked.c, walk, pets.c, _CODE_POINTS).correlate(asked, choice)
    # OFFSET 0 has PostgreSQL gather pets before it sorts them. Otherwise it might walk here too.
    gathered = select(pets).where(*shape.filters(asked.c, pets.c), gathers).offset(ZERO)
    found = gathered.correlate(asked, choice).subquery("gathered")
    first = shape.first(asked.c, select(found), found.c, _CODE_POINTS).correlate(asked)
    return union_all(walk, first)


def _page(found: SelectBase, *correlated: FromClause) -> LateralFromClause:
    rows = found.subquery("found")
    arrays = []
    for each in PET:
        values: ColumnElement[Any] = rows.c[each.name]
        if isinstance(each.type, TimeWithZone):
            values = utc(values)
        arrays.append(func.array_agg(values).label(each.name))
    return select(*arrays).correlate(*correlated).lateral("page")
