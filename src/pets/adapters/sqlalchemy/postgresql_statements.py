"""What is asked of PostgreSQL in its own way: sets as arrays, keys, ids and grants."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    TableValuedAlias,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    not_,
    select,
    table,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, REGCLASS, TIMESTAMP, Insert, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert

from pets.adapters.sqlalchemy.keyed_sets import KeyedSets, key_of
from pets.adapters.sqlalchemy.listing import ZERO
from pets.adapters.sqlalchemy.models import TimeWithZone, pet_ids, pet_keys, pets, utc
from pets.adapters.sqlalchemy.statements import (
    MEMBERS,
    PET,
    Parameters,
    Statements,
    keyed,
    members_of,
)


class ArrayRows:
    """Rows, as an array for each column."""

    def __init__(self, name: str, columns: Sequence[ColumnElement[Any]]) -> None:
        self._arrays: dict[str, ColumnElement[Any]] = {}
        items = []
        for each in columns:
            # The driver would take a time without a zone for one in the time zone of this machine.
            type_ = TIMESTAMP() if isinstance(each.type, TimeWithZone) else each.type
            self._arrays[each.name] = bindparam(f"{name}_{each.name}", type_=ARRAY(type_))
            items.append(column(each.name, type_))
        rows = func.unnest(*self._arrays.values()).table_valued(*items, with_ordinality="position")
        self.table: FromClause = _with_zones(rows.render_derived(name=name))
        self._names = [f"{name}_{each.name}" for each in columns]
        self._none: Parameters = dict.fromkeys(self._names, ())

    def has(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        return column == any_(self._arrays[column.name])

    def of(self, rows: Iterable[Sequence[object]]) -> Parameters:
        arrays = tuple(zip(*rows, strict=True))
        return dict(zip(self._names, arrays, strict=True)) if arrays else self._none


def _with_zones(rows: TableValuedAlias) -> FromClause:
    """Return the rows with times as `pets` has them."""
    times = [each for each in rows.c if isinstance(each.type, TIMESTAMP)]
    if not times:
        return rows
    others = [each for each in rows.c if each not in times]
    return select(*others, *(utc(each).label(each.name) for each in times)).subquery(rows.name)


class PostgreSQLDatabase:
    """What PostgreSQL writes in its own way."""

    rows = ArrayRows

    def is_one_of(self, column: ColumnElement[Any], selected: Select[Any]) -> ColumnElement[bool]:
        # With IN, PostgreSQL could read the whole table, and look for each row in the selection.
        return column == any_(func.array(selected.scalar_subquery()))

    def is_expired(self, time: ColumnElement[Any]) -> ColumnElement[bool]:
        return time <= func.now() - bindparam("key_ttl", type_=INTERVAL)


DATABASE: Final = PostgreSQLDatabase()
STATEMENTS: Final = Statements(DATABASE)


class KeepingIds(Insert):
    """An INSERT of pets that have ids. SQLAlchemy has no OVERRIDING SYSTEM VALUE."""

    inherit_cache = True


@compiles(KeepingIds)
def _override_ids(insert: KeepingIds, compiler: SQLCompiler, **options: Any) -> str:
    sql: str = compiler.visit_insert(insert, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    return sql.replace(") SELECT", ") OVERRIDING SYSTEM VALUE SELECT", 1)


NEW_KEYS: Final = ArrayRows("new", [pet_keys.c.key, column("set", Text), *MEMBERS])
"""The pets that `ADD_ONCE` adds, each with its key and the key of its set."""


def new_keys(sets: KeyedSets) -> Parameters:
    """Return the parameters of `ADD_ONCE` with these sets, by their keys."""
    return NEW_KEYS.of(
        (key_of(key, place), key, *members_of(pet))
        for key, pets in sets.items()
        for place, pet in enumerate(pets)
    )


def _add_once() -> Select[Any]:
    """Return the statement that adds the sets of pets whose keys are not used, and returns those.

    Of several calls with one key at once, all but the first wait here for the first one's commit,
    and then find the key used. Keys are claimed in their order, so that calls for the same keys
    cannot deadlock. The keys of the other pets of a set follow when its first one is claimed. They
    can only be used by pets of a set whose key was forgotten.
    """
    new = NEW_KEYS.table.c
    claim = {
        "key": new.key,
        "id": pet_ids.next_value(),
        **{column.name: new[column.name] for column in MEMBERS},
        "created_at": func.date_trunc(literal_column("'second'"), func.now()),
        "pet_created_at": new.created_at,
    }

    def claimed(
        selected: Select[Any], where: ColumnElement[bool] | None = None
    ) -> ReturningInsert[Any]:
        keys = insert(pet_keys).from_select(list(claim), selected)
        values = {name: keys.excluded[name] for name in claim if name != "key"}
        keys = keys.on_conflict_do_update(index_elements=[pet_keys.c.key], set_=values, where=where)
        return keys.returning(*keyed())

    is_first = new.key == new.set
    first = claimed(
        select(*claim.values()).where(is_first).order_by(new.key),
        DATABASE.is_expired(pet_keys.c.created_at),
    ).cte("first")
    is_of_claimed = new.set.in_(select(first.c.key))
    others = claimed(
        select(*claim.values()).where(~is_first, is_of_claimed).order_by(new.position)
    ).cte("others")
    added = union_all(select(first), select(others)).cte("claimed")
    pet = [added.c[column.name] for column in PET]
    return select(added).add_cte(KeepingIds(pets).from_select(PET, select(*pet)).cte("added"))


ADD_ONCE: Final = _add_once()

_tables: Final = table("pg_tables", column("tablename"), column("schemaname"))
TABLES: Final = select(_tables.c.tablename).where(
    _tables.c.schemaname == literal_column("'public'")
)

_highest: Final = func.coalesce(func.max(pets.c.id), ZERO).label("highest")
HIGHEST_ID: Final = select(
    func.has_sequence_privilege(
        literal_column(f"'{pet_ids.name}'"), literal_column("'SELECT'")
    ).label("may_read"),
    _highest,
)
_sequence: Final = table(pet_ids.name, column("last_value", BigInteger), column("is_called"))
_is_unused: Final = cast(not_(_sequence.c.is_called), Integer)
GIVEN_ID: Final = select((_sequence.c.last_value - _is_unused).label("given"))

# A sequence that was set but not used since (RESTART WITH) has no last value. Its next value is
# taken then, which needs no further right, and leaves out one id.
_ids: Final = cast(literal_column(f"'{pet_ids.name}'"), REGCLASS)
_last: Final = func.coalesce(func.pg_sequence_last_value(_ids), pet_ids.next_value())
RAISE_IDS: Final = select(
    func.setval(_ids, func.greatest(_last, bindparam("id", type_=BigInteger)))
)

# The user needs no grant to write pet_counts, because the triggers run as their owner.
# If a table does not exist, has_table_privilege() is NULL here, and reading the table will say so.
# It is text, because it is about the catalogue alone, and shorter so.
MISSING_GRANTS: Final = text("""
    SELECT needed || ' on ' || name AS "grant" FROM (VALUES
        ('pets', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
        ('pet_keys', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
        ('pet_counts', ARRAY['SELECT']),
        ('pets_alembic_version', ARRAY['SELECT'])
    ) AS tables (name, privileges), unnest(privileges) AS needed
    WHERE NOT has_table_privilege(to_regclass(name), needed)
    UNION ALL
    SELECT 'USAGE on pets_id_seq'
    WHERE NOT has_sequence_privilege(to_regclass('pets_id_seq'), 'USAGE')
""")
