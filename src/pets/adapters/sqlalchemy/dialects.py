"""What PostgreSQL and SQLite each do their own way.

To both, rows are one parameter or one a column, so that a statement is the same for any number of pets.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any, Final, Protocol

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

from pets.adapters.sqlalchemy.tables import pet_keys, pets

# Any: the types of rows and parameters are those of each statement, and drivers have none.
Rows = Sequence[Any]
Parameters = Mapping[str, Any]
Column = sa.Column[Any]
Element = sa.ColumnElement[Any]

NEW: Final = {
    column.name: column for column in (pets.c.name, pets.c.age, pets.c.type, pets.c.created_at)
}
KEYED: Final = {column.name: column for column in pet_keys.c if column.name != "id"}


class Dialect(Protocol):
    def in_code_point_order(self, column: Element) -> Element: ...

    def name_contains(self, part: str) -> sa.ColumnElement[bool]: ...

    def is_among(self, column: Column, parameter: str) -> sa.ColumnElement[bool]:
        """Return whether the column's value is in a parameter that is a list."""
        ...

    def given(self, columns: Mapping[str, Column]) -> sa.FromClause:
        """Return the rows that are parameters, and the `position` of each."""
        ...

    def parameters(self, columns: Mapping[str, Column], rows: Rows) -> Parameters:
        """Return the parameters that `given` makes the rows of."""
        ...

    async def fetch(
        self, connection: AsyncConnection, statement: sa.Executable, parameters: Parameters
    ) -> Rows:
        """Run a statement that is the same whatever the parameters."""
        ...

    async def search(self, connection: AsyncConnection, statement: sa.Executable) -> Rows:
        """Run a statement that is planned for the values within it."""
        ...

    def stream(
        self, connection: AsyncConnection, statement: sa.Executable
    ) -> AsyncGenerator[Rows, None]:
        """Run a statement whose rows are too many to have at once."""
        ...

    async def add_once(self, connection: AsyncConnection, keyed: Rows, expired: datetime) -> Rows:
        """Add the pets whose keys are not used yet, or expired, and return the rows of all these keys."""
        ...

    async def missing_grants(self, connection: AsyncConnection) -> Sequence[str]:
        """Return the grants that the user needs and does not have, as "INSERT on pets"."""
        ...


def insert(dialect: Dialect) -> sa.Executable:
    given = dialect.given(NEW)
    rows = sa.select(*(given.c[name] for name in NEW)).order_by(given.c.position)
    return sa.insert(pets).from_select(list(NEW), rows).returning(pets.c.id)


class PostgreSQL:
    def in_code_point_order(self, column: Element) -> Element:
        return column.collate("C") if isinstance(column.type, sa.Text) else column

    def name_contains(self, part: str) -> sa.ColumnElement[bool]:
        def folded(text: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
            return sa.func.casefold(text.collate("pg_unicode_fast"))

        escaped = re.sub(r"([\\%_])", r"\\\1", part)
        return folded(pets.c.name).like(folded(sa.literal(f"%{escaped}%")))

    def is_among(self, column: Column, parameter: str) -> sa.ColumnElement[bool]:
        return column == sa.any_(sa.bindparam(parameter, type_=sa.ARRAY(column.type)))

    def given(self, columns: Mapping[str, Column]) -> sa.FromClause:
        arrays = (
            sa.bindparam(name, type_=sa.ARRAY(column.type)) for name, column in columns.items()
        )
        return (
            sa.func.unnest(*arrays)
            .table_valued(*columns, with_ordinality="position")
            .render_derived()
        )

    def parameters(self, columns: Mapping[str, Column], rows: Rows) -> Parameters:
        return {name: [row[index] for row in rows] for index, name in enumerate(columns)}

    async def fetch(
        self, connection: AsyncConnection, statement: sa.Executable, parameters: Parameters
    ) -> Rows:
        """Have SQLAlchemy write the statement, once, and the driver run it: its own results cost as much as a query."""
        compiled = _compiled(statement, connection.dialect)
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, asyncpg.Connection)
        rows: Rows = await driver.fetch(
            compiled.string, *(parameters[name] for name in compiled.positiontup or ())
        )
        return rows

    async def search(self, connection: AsyncConnection, statement: sa.Executable) -> Rows:
        await self._begin_custom(connection)
        return (await connection.execute(statement)).all()

    async def stream(
        self, connection: AsyncConnection, statement: sa.Executable
    ) -> AsyncGenerator[Rows, None]:
        await self._begin_custom(connection)
        async for rows in _partitions(connection, statement):
            yield rows

    async def _begin_custom(self, connection: AsyncConnection) -> None:
        await connection.execution_options(
            isolation_level="READ COMMITTED"
        )  # SET LOCAL needs a transaction
        await connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")

    async def add_once(self, connection: AsyncConnection, keyed: Rows, expired: datetime) -> Rows:
        rows = await self.fetch(
            connection, _ADD_ONCE, {**self.parameters(KEYED, keyed), "expired": expired}
        )
        if used := {key for key, *_ in keyed}.difference(row[0] for row in rows):
            rows = [*rows, *await self.fetch(connection, _USED, {"keys": used})]
        if cleared := used.difference(row[0] for row in rows):  # by another, in this very moment
            rows = [
                *rows,
                *await self.add_once(
                    connection, [row for row in keyed if row[0] in cleared], expired
                ),
            ]
        return rows

    async def missing_grants(self, connection: AsyncConnection) -> Sequence[str]:
        return [grant for (grant,) in await self.fetch(connection, _MISSING_GRANTS, {})]


async def _partitions(
    connection: AsyncConnection, statement: sa.Executable
) -> AsyncGenerator[Rows, None]:
    async with connection.stream(statement, execution_options={"yield_per": 1000}) as result:
        async for rows in result.partitions():
            yield rows


@cache
def _compiled(statement: sa.Executable, dialect: sa.Dialect) -> SQLCompiler:
    assert isinstance(statement, sa.ClauseElement)
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    return compiled


# Of several that come with one key at once, all but the first wait here for the first's commit, and then find the key
# used. Keys are claimed in their order, so that calls for the same ones cannot deadlock.
_ADD_ONCE: Final = sa.text("""
    WITH claimed AS (
        INSERT INTO pet_keys AS used (key, id, name, age, type, created_at)
        SELECT key, nextval((SELECT pg_get_serial_sequence('pets', 'id'))::regclass), name, age, type, created_at
        FROM unnest(:key, :name, :age, :type, :created_at) AS given (key, name, age, type, created_at)
        ORDER BY key
        ON CONFLICT (key) DO UPDATE
        SET (id, name, age, type, created_at)
            = ROW (excluded.id, excluded.name, excluded.age, excluded.type, excluded.created_at)
        WHERE used.created_at <= :expired
        RETURNING *
    ), added AS (
        INSERT INTO pets (id, name, age, type, created_at) OVERRIDING SYSTEM VALUE
        SELECT id, name, age, type, created_at FROM claimed
    )
    SELECT * FROM claimed
""").bindparams(
    sa.bindparam("expired", type_=pet_keys.c.created_at.type),
    *(sa.bindparam(name, type_=sa.ARRAY(column.type)) for name, column in KEYED.items()),
)
# The user needs no grant to write pet_counts, because the triggers run as their owner.
# A table that does not exist, or not for this user, has NULL here: reading it fails and says so.
_MISSING_GRANTS: Final = sa.text("""
    SELECT needed || ' on ' || name FROM (VALUES
        ('pets', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
        ('pet_keys', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
        ('pet_counts', ARRAY['SELECT']),
        ('alembic_version', ARRAY['SELECT'])
    ) AS tables (name, privileges), unnest(privileges) AS needed
    WHERE NOT has_table_privilege(to_regclass(name), needed)
    UNION ALL
    SELECT 'USAGE on pets_id_seq'
    WHERE NOT has_sequence_privilege(to_regclass('pets_id_seq'), 'USAGE')
""")
_USED: Final = sa.select(pet_keys).where(PostgreSQL().is_among(pet_keys.c.key, "keys"))


class SQLite:
    def in_code_point_order(self, column: Element) -> Element:
        return column

    def name_contains(self, part: str) -> sa.ColumnElement[bool]:
        return (
            sa.func.instr(sa.func.casefold(pets.c.name), part.casefold()) > 0
        )  # casefold: see engine.py

    def is_among(self, column: Column, parameter: str) -> sa.ColumnElement[bool]:
        values = sa.func.json_each(sa.bindparam(parameter, type_=sa.JSON)).table_valued("value")
        return column.in_(sa.select(values.c.value))

    def given(self, columns: Mapping[str, Column]) -> sa.FromClause:
        rows = sa.func.json_each(sa.bindparam("rows", type_=sa.JSON)).table_valued("key", "value")
        values = (
            sa.func.json_extract(rows.c.value, f"$[{index}]").label(name)
            for index, name in enumerate(columns)
        )
        return sa.select(rows.c.key.label("position"), *values).subquery()

    def parameters(self, columns: Mapping[str, Column], rows: Rows) -> Parameters:  # noqa: ARG002
        def plain(value: object) -> object:
            return value.isoformat(" ")[:19] if isinstance(value, datetime) else value

        return {"rows": [[plain(value) for value in row] for row in rows]}

    async def fetch(
        self, connection: AsyncConnection, statement: sa.Executable, parameters: Parameters
    ) -> Rows:
        return (await connection.execute(statement, parameters)).all()

    async def search(self, connection: AsyncConnection, statement: sa.Executable) -> Rows:
        return (await connection.execute(statement)).all()

    def stream(
        self, connection: AsyncConnection, statement: sa.Executable
    ) -> AsyncGenerator[Rows, None]:
        return _partitions(connection, statement)

    async def add_once(self, connection: AsyncConnection, keyed: Rows, expired: datetime) -> Rows:
        async with immediate(connection):
            keys, are_given = (
                {"keys": [key for key, *_ in keyed]},
                self.is_among(pet_keys.c.key, "keys"),
            )
            await connection.execute(
                sa.delete(pet_keys).where(are_given, pet_keys.c.created_at <= expired), keys
            )
            used = await self.fetch(connection, sa.select(pet_keys).where(are_given), keys)
            known = {row.key for row in used}
            new = [row for row in keyed if row[0] not in known]
            ids = await self.fetch(
                connection, insert(self), self.parameters(NEW, [row[1:] for row in new])
            )
            added = [
                (key, id_, *rest)
                for (key, *rest), id_ in zip(new, sorted(id_ for (id_,) in ids), strict=True)
            ]
            for row in added:
                await connection.execute(sa.insert(pet_keys).values(row))
        return [*used, *added]

    async def missing_grants(self, connection: AsyncConnection) -> Sequence[str]:  # noqa: ARG002
        return []  # SQLite has no users


@asynccontextmanager
async def immediate(connection: AsyncConnection) -> AsyncIterator[None]:
    """Run statements as one transaction that locks SQLite's file from its beginning."""
    await connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        await connection.exec_driver_sql("ROLLBACK")
        raise
    await connection.exec_driver_sql("COMMIT")
