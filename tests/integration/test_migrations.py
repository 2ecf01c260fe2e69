"""The migrations lead to the schema of `models.py` and back, on both databases.

The schema rejects values that the domain rejects, so that rows written by hand are valid too.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import Any
from unicodedata import is_normalized

import pytest
from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.config import SQLAlchemyAsyncConfig
from alembic.script import ScriptDirectory
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, inspect, make_url
from sqlalchemy.exc import IntegrityError

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.models import (
    FIRST_REVISION,
    REVISION,
    VERSION_TABLE,
    metadata,
    pets,
)
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.adapters.sqlalchemy.sqlite_file import Access, StoreFile, path_of
from pets.bootstrap.stores import migrate
from pets.cli.main import main
from pets.domain.errors import InvalidPet, StoreUnavailable
from pets.domain.pet import EARLIEST, LATEST, NewPet, Pet, PetChange, PetType
from pets.domain.query import PetQuery, PetSort
from pets.settings import Settings
from tests.factories import NAMES, TEXTS, NewPetFactory
from tests.integration.served import start

NEW = NewPet(name="boy", age=7, type=PetType.DOG)
AT = datetime.fromisoformat("2021-05-18T19:10:17")
SCRIPTS = ScriptDirectory.from_config(
    AlembicCommands(create_config(parse_url("sqlite:///pets.db"))).config
)
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()]
"""The newest first."""


def config_of(url: str) -> SQLAlchemyAsyncConfig:
    """Return the configuration with which `pets migrate` opens a store that need not exist."""
    path = path_of(parse_url(url))
    return create_config(parse_url(url), file=StoreFile(path, Access.CREATE) if path else None)


def run(url: str, look: Callable[[Connection], Any]) -> Any:  # Any: whatever the function returns
    async def main() -> Any:
        engine = config_of(url).get_engine()
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(look)
        finally:
            await engine.dispose()

    return asyncio.run(main())


def downgrade(url: str) -> None:
    AlembicCommands(config_of(url)).downgrade("base")


def schema(connection: Connection) -> dict[str, Any]:
    """Return the columns, keys, checks and indexes of the tables, as the database has them."""
    inspector = inspect(connection)
    tables = {}
    for table in inspector.get_table_names():
        if table == VERSION_TABLE:
            continue
        columns = [
            column | {"type": str(column["type"])} for column in inspector.get_columns(table)
        ]
        checks = [
            (check["name"], check["sqltext"]) for check in inspector.get_check_constraints(table)
        ]
        tables[table] = {
            "columns": columns,
            "primary key": inspector.get_pk_constraint(table),
            "checks": sorted(checks),
            "indexes": inspector.get_indexes(table),
        }
    return tables


def test_up_down_and_up_leads_to_the_same_schema(empty_database_url: str) -> None:
    settings = Settings(database_url=empty_database_url)
    migrate(settings)
    first = run(empty_database_url, schema)
    assert set(first) == {"pets", "pet_counts", "pet_keys"}
    downgrade(empty_database_url)
    assert run(empty_database_url, schema) == {}
    migrate(settings)
    assert run(empty_database_url, schema) == first


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_a_way_down_leads_to_the_older_schema(empty_database_url: str, revision: str) -> None:
    AlembicCommands(config_of(empty_database_url)).upgrade(revision)
    older = run(empty_database_url, schema)
    migrate(Settings(database_url=empty_database_url))
    AlembicCommands(config_of(empty_database_url)).downgrade(revision)
    assert run(empty_database_url, schema) == older


def hidden_schema(connection: Connection) -> set[str]:
    """Return what SQLAlchemy's inspector does not show: options of tables, and of indexes."""
    if connection.dialect.name == "postgresql":
        facts = connection.exec_driver_sql("""
            SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION
            SELECT concat_ws(' ', relname, reloptions) FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
            UNION
            SELECT concat_ws(' ', attrelid::regclass, attname, attcollation::regcollation)
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND attnum > 0
                AND NOT attisdropped
        """)
        others = ("slot", "pet_counts_pkey", VERSION_TABLE)
        return {fact for (fact,) in facts if not any(other in fact for other in others)}
    tables = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    options = ("AUTOINCREMENT", "WITHOUT ROWID", "STRICT")
    return {f"{name} {option}" for name, sql in tables for option in options if option in sql}


def comparable(tables: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only triggers know, and the layout of SQLite's checks."""
    for table in tables.values():
        table["columns"] = [each for each in table["columns"] if each["name"] != "slot"]
        key = table["primary key"]
        key["constrained_columns"] = [each for each in key["constrained_columns"] if each != "slot"]
        key.pop("name")  # SQLite's have none.
        key.pop("dialect_options", None)
        table["checks"] = [(name, " ".join(rule.split())) for name, rule in table["checks"]]
        table["indexes"] = sorted(table["indexes"], key=lambda index: str(index["name"]))
    return tables


def test_the_migrated_schema_is_that_of_the_models(empty_database_url: str) -> None:
    migrate(Settings(database_url=empty_database_url))
    migrated = comparable(run(empty_database_url, schema)), run(empty_database_url, hidden_schema)
    downgrade(empty_database_url)
    run(empty_database_url, metadata.create_all)
    created = comparable(run(empty_database_url, schema)), run(empty_database_url, hidden_schema)
    assert migrated == created


def test_migrations_end_with_the_revision_of_the_code() -> None:
    assert SCRIPTS.get_current_head() == REVISION


def test_a_database_of_another_version_is_rejected(
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stamp(connection: Connection) -> None:
        connection.exec_driver_sql(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32))")
        connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES ('0001')")

    run(empty_database_url, stamp)
    monkeypatch.setenv("PETS_DATABASE_URL", empty_database_url)
    assert main(["migrate"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert ": another version made this database (revision 0001): export its pets " in line


def test_migrating_again_keeps_the_pets(empty_database_url: str) -> None:
    async def add_and_count() -> int:
        engine = create_config(parse_url(empty_database_url)).get_engine()
        repository = SQLAlchemyPetRepository(engine)
        await repository.add(NewPetFactory.batch(3))
        (page,) = await repository.pages([PetQuery(limit=0)])
        await engine.dispose()
        return page.count

    settings = Settings(database_url=empty_database_url)
    migrate(settings)
    assert asyncio.run(add_and_count()) == 3
    migrate(settings)
    assert asyncio.run(add_and_count()) == 6


@pytest.mark.thorough
def test_several_processes_can_migrate_at_once(empty_database_url: str) -> None:
    with ExitStack() as stack:
        processes = [start("migrate", database_url=empty_database_url) for _ in range(6)]
        for process in processes:
            stack.enter_context(process)
            stack.callback(process.kill)  # in case that one never ends
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert (process.returncode, errors) == (0, "")
    assert set(run(empty_database_url, schema)) == {"pets", "pet_counts", "pet_keys"}


def test_a_store_is_not_ready_until_it_is_migrated(empty_database_url: str) -> None:
    async def check() -> None:
        engine = config_of(empty_database_url).get_engine()
        try:
            await SQLAlchemyPetRepository(engine).check()
        finally:
            await engine.dispose()

    with pytest.raises(StoreUnavailable):
        asyncio.run(check())
    migrate(Settings(database_url=empty_database_url))
    asyncio.run(check())
    downgrade(empty_database_url)
    with pytest.raises(StoreUnavailable, match="pets migrate"):
        asyncio.run(check())


def upgrade_to_first(url: str) -> None:
    """Make the database of version 1.2, with a pet that has an empty time, and a key."""

    def fill(connection: Connection) -> None:
        connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('pets_0001')")
        zone = "+00" if connection.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(
            "INSERT INTO pets (name, age, type, created_at) VALUES"
            f" ('boy', 7, 'dog', '0001-01-01 00:00:00{zone}'),"
            f" ('boy', 7, 'dog', '9999-12-31 23:59:59{zone}')"
        )
        connection.exec_driver_sql(
            "INSERT INTO pet_keys (key, id, name, age, type, created_at)"
            " VALUES ('k', 9, 'boy', 7, 'dog', CURRENT_TIMESTAMP)"
        )

    AlembicCommands(config_of(url)).upgrade(FIRST_REVISION)
    run(url, fill)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, as the database shows their values as texts."""
    found = run(url, lambda connection: connection.exec_driver_sql(query).all())
    return [tuple(row) for row in found]


def test_a_database_of_version_1_2_is_migrated_while_that_version_serves(
    empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The revision of the older version stays where it looks."""
    upgrade_to_first(empty_database_url)
    older = {"id": 9, "name": "boy", "age": 7, "type": PetType.DOG}

    async def use() -> None:
        engine = create_config(parse_url(empty_database_url)).get_engine()
        repository = SQLAlchemyPetRepository(engine)
        try:
            with pytest.raises(StoreUnavailable, match="pets migrate"):
                await repository.check()
            await asyncio.to_thread(migrate, Settings(database_url=empty_database_url))
            await repository.check()
            (pet,) = (await repository.add_once({"k": [replace(NEW, name="other")]}))["k"].pets
            assert pet._asdict().items() >= older.items()
            (page,) = await repository.pages([PetQuery(sort=PetSort.CREATED_AT)])
            times = [pet.created_at for pet in page.items]
            assert (times[0], times[-1]) == (EARLIEST, LATEST)
        finally:
            await engine.dispose()

    asyncio.run(use())
    assert "created_at of 1 pets was before 0001-01-02" in caplog.text
    assert rows(empty_database_url, "SELECT version_num FROM alembic_version") == [("pets_0001",)]


# What every version since 1.2 can write: later columns have defaults.
WRITES_OF_OLDER_VERSIONS = [
    """
    INSERT INTO pets (name, age, type, created_at)
    VALUES ('boy', 7, 'dog', '2021-05-18 19:10:17{zone}')
    """,
    """
    INSERT INTO pet_keys (key, id, name, age, type, created_at)
    VALUES ('{key}', 9, 'boy', 7, 'dog', CURRENT_TIMESTAMP)
    """,
]


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_a_database_of_an_older_version_is_migrated_while_that_version_writes(
    empty_database_url: str, revision: str
) -> None:
    """The connection of the older version stays open."""
    AlembicCommands(config_of(empty_database_url)).upgrade(revision)
    zone = "+00" if empty_database_url.startswith("postgresql") else ""

    async def use() -> list[Pet]:
        engine = create_config(parse_url(empty_database_url)).get_engine()
        repository = SQLAlchemyPetRepository(engine)
        try:
            async with engine.connect() as connection:
                for key in ("before", "after"):
                    for statement in WRITES_OF_OLDER_VERSIONS:
                        await connection.exec_driver_sql(statement.format(zone=zone, key=key))
                    await asyncio.to_thread(migrate, Settings(database_url=empty_database_url))
            await repository.check()
            keyed = await repository.add_once({"before": [NEW], "after": [NEW]})
            (page,) = await repository.pages([PetQuery()])
            kept = [pet for added in keyed.values() for pet in added.pets]
            return [*(pet._replace(created_at=AT) for pet in kept), *page.items]
        finally:
            await engine.dispose()

    as_written = replace(NEW, created_at=AT)
    assert asyncio.run(use()) == [as_written.with_id(id_) for id_ in (9, 9, 1, 2)]


def test_the_revision_of_another_application_is_left_alone(empty_database_url: str) -> None:
    def share(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('8a2f')")

    run(empty_database_url, share)
    for _ in range(2):
        migrate(Settings(database_url=empty_database_url))
    assert rows(empty_database_url, "SELECT version_num FROM alembic_version") == [("8a2f",)]
    downgrade(empty_database_url)
    assert rows(empty_database_url, "SELECT version_num FROM alembic_version") == [("8a2f",)]


def test_a_database_of_version_1_1_is_advised_to_be_exported(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE pets (id INTEGER)")
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0003')")

    run(empty_database_url, make)
    monkeypatch.setenv("PETS_DATABASE_URL", empty_database_url)
    for command, advice in (
        ("migrate", "(revision 0003): export its pets with that version, "),
        ("doctor", "Version 1.1 or older made the store: export its pets with that version, "),
    ):
        assert main([command]) == 1
        assert advice in capsys.readouterr().err


def test_keys_are_sorted_alike_on_every_machine_and_doubled_ones_are_one_again(
    new_database: Callable[[str], str],
) -> None:
    """A key was doubled while the order of the database's locale was another one."""

    def double(connection: Connection) -> None:
        for statement in (
            "ALTER TABLE pet_keys DROP CONSTRAINT pet_keys_pkey",
            "INSERT INTO pet_keys SELECT key, 10, name, age, type, created_at FROM pet_keys",
            "ALTER TABLE pet_keys ADD CONSTRAINT pet_keys_pkey PRIMARY KEY (key, id)",
        ):
            connection.exec_driver_sql(statement)

    url = new_database("postgresql")
    upgrade_to_first(url)
    run(url, double)
    migrate(Settings(database_url=url))
    assert rows(url, "SELECT key, id FROM pet_keys") == [("k", 9)]
    collation = """
        SELECT collation_name FROM information_schema.columns
        WHERE table_name = 'pet_keys' AND column_name = 'key'
    """
    assert rows(url, collation) == [("C",)]


VALID = {
    "name": "boy",
    "age": 7,
    "type": "dog",
    "created_at": datetime.fromisoformat("2021-05-18T19:10:17"),
}
BAD_TEXTS = [
    "x" * 101,
    " boy",
    "boy\u3000",
    "\u2005boy",
    "a\nb",
    "a\tb",
    "a\x01b",
    "a\x7f",
    "\u00a0",
    "\x9b",
    "\x85",
]
BAD_ROWS = [
    *product(TEXTS, [*BAD_TEXTS, None]),
    ("name", ""),
    *(("age", age) for age in (-1, 101, None)),
    *(("type", type_) for type_ in ("bird", "Dog", "", None)),
    *(("id", id_) for id_ in (0, -1)),
    ("created_at", None),
]
# These values are written in SQL, because the drivers would reject some of them.
BAD_TIMES_ON_POSTGRESQL = [
    "infinity",
    "-infinity",
    "0001-12-31 23:59:59+00 BC",
    "0001-01-01 00:00:00+00",
    "0001-01-01 23:59:59+00",
    "10000-01-01 00:00:00+00",
]
BAD_VALUES_ON_SQLITE = [
    *product(TEXTS, ["x'626f79'", "'a' || char(0) || 'b'", "char(0)", "'a' || char(0)"]),
    *(("age", value) for value in ("7.5", "'seven'", "x'07'")),
    ("type", "x'646f67'"),
    *(
        ("created_at", value)
        for value in (
            "'2026-01-01T00:00:00'",
            "'2026-01-01 00:00:00.5'",
            "'2026-01-01 00:00:00.000000'",
            "'2026-01-01 00:00:00+00:00'",
            "'2026-01-01 00:00:00Z'",
            "'2026-01-01 00:00'",
            "'2026-01-01'",
            "'2026-02-30 00:00:00'",
            "'2026-01-01 24:00:00'",
            "'0000-12-31 23:59:59'",
            "'0001-01-01 00:00:00'",
            "'0001-01-01 23:59:59'",
            "'-001-01-01 00:00:00'",
            "'10000-01-01 00:00:00'",
            "2026",
            "2461000.5",
            "'soon'",
            "x'323032362d30312d30312030303a30303a3030'",
        )
    ),
]
COLUMNS = {"name": "'boy'", "age": "7", "type": "'dog'", "created_at": "'2021-05-18 19:10:17'"}


def insert(url: str, **members: object) -> None:
    run(url, lambda connection: connection.execute(pets.insert(), VALID | members).rowcount)


def insert_by_hand(url: str, column: str, value: str) -> None:
    """Insert a pet that is valid except for one column, whose value is given as SQL."""
    columns = COLUMNS | {column: value}
    names, values = ", ".join(columns), ", ".join(columns.values())
    overriding = "OVERRIDING SYSTEM VALUE" if url.startswith("postgresql") else ""
    statement = f"INSERT INTO pets ({names}) {overriding} VALUES ({values})"
    run(url, lambda connection: connection.exec_driver_sql(statement).rowcount)


@pytest.mark.parametrize(("column", "value"), BAD_ROWS)
def test_a_database_rejects_invalid_values_by_itself(
    database_url: str, column: str, value: object
) -> None:
    literal = "NULL" if value is None else f"'{value}'"
    with pytest.raises(IntegrityError):
        insert_by_hand(database_url, column, literal)


@pytest.mark.parametrize("time", BAD_TIMES_ON_POSTGRESQL)
def test_postgresql_rejects_times_that_no_pet_can_have(postgresql_url: str, time: str) -> None:
    with pytest.raises(IntegrityError, match="pets_created_at_check"):
        insert_by_hand(postgresql_url, "created_at", f"'{time}'")


@pytest.mark.parametrize(("column", "value"), BAD_VALUES_ON_SQLITE)
def test_sqlite_rejects_values_of_another_form(sqlite_url: str, column: str, value: str) -> None:
    with pytest.raises(IntegrityError, match=f"pets_{column}_check"):
        insert_by_hand(sqlite_url, column, value)


@pytest.mark.parametrize(
    "name", [*NAMES, "x y", "\u200b", "a\u3000b", "*", "[a]", "]", "^", "-", "x" * 100]
)
def test_a_database_accepts_valid_names(database_url: str, name: str) -> None:
    insert(database_url, name=name)


@pytest.mark.parametrize(
    "time", ["0001-01-02 00:00:00", "9999-12-31 23:59:59", "2024-02-29 00:00:00"]
)
def test_a_database_accepts_every_time_of_a_pet(database_url: str, time: str) -> None:
    zone = "+00" if database_url.startswith("postgresql") else ""
    insert_by_hand(database_url, "created_at", f"'{time}{zone}'")


@pytest.mark.parametrize("member", TEXTS)
def test_sqlite_accepts_a_text_exactly_if_the_domain_does(sqlite_url: str, member: str) -> None:
    """The texts consist of the characters that the rules treat specially, and of others."""
    columns = COLUMNS | {member: "?"}
    insert = f"INSERT INTO pets ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"
    connection = sqlite3.connect(str(make_url(sqlite_url).database))
    special = st.sampled_from(
        [*map(chr, range(0xA2)), *"\u1680\u2000\u200a\u200b\u2028\u202f\u205f\u3000\ufeff"]
    )

    @given(st.text(special | st.characters(exclude_categories=["Cs"]), max_size=3))
    @settings(max_examples=1000, deadline=None)
    def is_taken_by_both_or_none(text: str) -> None:
        assume(is_normalized("NFC", text))  # The domain composes texts, and SQLite cannot.
        try:
            is_valid = getattr(PetChange(**{member: text}), member) == text  # type: ignore[arg-type]  # It is a text.
        except InvalidPet:
            is_valid = False
        try:
            connection.execute(insert, [text])
        except sqlite3.IntegrityError:
            assert not is_valid
        else:
            assert is_valid

    try:
        is_taken_by_both_or_none()
    finally:
        connection.close()
