"""The migrations lead to the schema of `tables.py` and back, on either database, from many processes at once."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from advanced_alchemy.alembic.commands import AlembicCommands
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import IntegrityError

from pets.adapters.engine import create_config, parse_url
from pets.adapters.sqlalchemy import SQLAlchemyPetRepository
from pets.adapters.tables import REVISION, VERSION_TABLE, metadata, pets
from pets.bootstrap import Settings, migrate
from pets.domain.errors import StoreUnavailable
from pets.domain.query import PetQuery
from tests.factories import NAMES, NewPetFactory
from tests.integration.served import start


def run(url: str, look: Callable[[Connection], Any]) -> Any:  # Any: whatever the function returns
    async def main() -> Any:
        engine = create_config(parse_url(url)).get_engine()
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(look)
        finally:
            await engine.dispose()

    return asyncio.run(main())


def downgrade(url: str) -> None:
    AlembicCommands(create_config(parse_url(url))).downgrade("base")


def schema(connection: Connection) -> dict[str, Any]:
    """Everything that the database itself knows of the tables."""
    found = inspect(connection)
    return {
        table: {
            "columns": [column | {"type": str(column["type"])} for column in found.get_columns(table)],
            "primary key": found.get_pk_constraint(table),
            "checks": sorted((check["name"], check["sqltext"]) for check in found.get_check_constraints(table)),
            "indexes": found.get_indexes(table),
        }
        for table in found.get_table_names()
        if table != VERSION_TABLE
    }


def test_up_down_and_up_again(empty_database_url: str) -> None:
    settings = Settings(database_url=empty_database_url)
    migrate(settings)
    first = run(empty_database_url, schema)
    assert set(first) == {"pets", "pet_counts", "pet_keys"}
    downgrade(empty_database_url)
    assert run(empty_database_url, schema) == {}
    migrate(settings)
    assert run(empty_database_url, schema) == first


def test_lead_to_the_tables_that_the_code_uses(empty_database_url: str, new_database: Callable[[str], str]) -> None:
    migrate(Settings(database_url=empty_database_url))
    assert run(empty_database_url, lambda connection: compare_metadata(_context(connection), metadata)) == []
    created = new_database("sqlite" if empty_database_url.startswith("sqlite") else "postgresql")
    run(created, metadata.create_all)
    assert run(empty_database_url, schema) == run(created, schema)


def _context(connection: Connection) -> MigrationContext:
    # An index that each dialect has of its own confuses Alembic; what the databases say of it is compared below.
    def compared(_: object, name: str | None, *__: object) -> bool:
        return name != "pets_by_name"

    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "include_object": compared})


def test_end_with_the_revision_that_the_code_needs() -> None:
    commands = AlembicCommands(create_config(parse_url("sqlite:///pets.db")))
    assert ScriptDirectory.from_config(commands.config).get_current_head() == REVISION


def test_keep_the_pets_that_are_there(empty_database_url: str) -> None:
    async def add_and_count() -> int:
        engine = create_config(parse_url(empty_database_url)).get_engine()
        repository = SQLAlchemyPetRepository(engine)
        await repository.add(NewPetFactory.batch(3))
        count = (await repository.page(PetQuery(limit=0))).count
        await engine.dispose()
        return count

    settings = Settings(database_url=empty_database_url)
    migrate(settings)
    assert asyncio.run(add_and_count()) == 3
    migrate(settings)
    assert asyncio.run(add_and_count()) == 6


def test_several_processes_can_migrate_at_once(empty_database_url: str) -> None:
    processes = [start("migrate", database_url=empty_database_url) for _ in range(6)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    assert set(run(empty_database_url, schema)) == {"pets", "pet_counts", "pet_keys"}


def test_a_store_is_not_ready_until_it_is_migrated(empty_database_url: str) -> None:
    async def check() -> None:
        engine = create_config(parse_url(empty_database_url)).get_engine()
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


VALID = {"name": "boy", "age": 7, "type": "dog", "created_at": datetime(2021, 5, 18, 19, 10, 17, tzinfo=UTC)}
INVALID = [("name", ""), ("name", "x" * 101), ("age", -1), ("age", 101), ("type", "bird"), ("name", None)]
INVALID_ON_POSTGRESQL = [("name", name) for name in (" boy", "boy\u3000", "a\nb", "a\x7f", "\u00a0", "\x9b")]


def insert(url: str, **members: object) -> None:
    run(url, lambda connection: connection.execute(pets.insert(), VALID | members).rowcount)


@pytest.mark.parametrize(("column", "value"), INVALID)
def test_a_database_refuses_by_itself_what_the_domain_refuses(database_url: str, column: str, value: object) -> None:
    with pytest.raises(IntegrityError):
        insert(database_url, **{column: value})


@pytest.mark.parametrize(("column", "value"), INVALID_ON_POSTGRESQL)
def test_postgresql_refuses_even_names_that_are_not_clean(postgresql_url: str, column: str, value: object) -> None:
    with pytest.raises(IntegrityError):
        insert(postgresql_url, **{column: value})


@pytest.mark.parametrize("name", [*NAMES, "x y", "\u200b", "a\u3000b"])
def test_a_database_takes_what_the_domain_takes(database_url: str, name: str) -> None:
    insert(database_url, name=name)
