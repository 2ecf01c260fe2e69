"""Alembic runs this file for every command, in one transaction."""

import asyncio

from advanced_alchemy.alembic.commands import AlembicCommandConfig
from alembic import context
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy import postgresql_session
from pets.adapters.sqlalchemy.models import (
    FIRST_REVISION,
    SHARED_VERSION_TABLE,
    VERSION_TABLE,
    metadata,
    version_of,
)

config = context.config
assert isinstance(config, AlembicCommandConfig)
assert isinstance(config.engine, AsyncEngine)

# One transaction takes a lock before it reads the version. So processes that migrate at once take
# turns, and the later ones find nothing to do. The number is arbitrary, but must not change.
BEGIN = {
    "postgresql": ["BEGIN", "SELECT pg_advisory_xact_lock(7378697629483820646)"],
    "sqlite": ["BEGIN IMMEDIATE"],
}


def migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        check_server(connection)
    try:
        for statement in BEGIN[connection.dialect.name]:
            connection.exec_driver_sql(statement)
        context.configure(
            connection=connection, target_metadata=metadata, version_table=VERSION_TABLE
        )
        take_over_revision(connection)
        check_revision()
        context.run_migrations()
    except BaseException:
        connection.invalidate()  # This closes it. A ROLLBACK might get no answer.
        raise
    connection.exec_driver_sql("COMMIT")


def check_server(connection: Connection) -> None:
    """Raise `CommandError` for a PostgreSQL that cannot hold the schema or every name."""
    version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    number = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if obstacle := postgresql_session.too_old(version, number):
        raise CommandError(obstacle)
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise CommandError(f"a database in UTF8 is needed; this one is in {encoding}")


def take_over_revision(connection: Connection) -> None:
    """Copy the revision of a database that version 1.2 made into the table of our own.

    The old table stays as it is: replicas of version 1.2 read it until they are replaced, and
    other applications may use it. Raises `CommandError` for a database of version 1.1 or older.
    """
    migration = context.get_context()
    if migration.get_current_heads():
        return
    if not {"pets", SHARED_VERSION_TABLE} <= set(inspect(connection).get_table_names()):
        return
    revisions = list(connection.execute(version_of(SHARED_VERSION_TABLE)).scalars())
    if FIRST_REVISION not in revisions:
        raise other_version(", ".join(revisions) or "unknown")
    migration.stamp(ScriptDirectory.from_config(config), FIRST_REVISION)


def check_revision() -> None:
    """Raise `CommandError` for a database that a later version of this service migrated."""
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    for revision in context.get_context().get_current_heads():
        if revision not in known:
            raise other_version(revision)


def other_version(revision: str) -> CommandError:
    return CommandError(
        f"another version made this database (revision {revision}):"
        " export its pets with that version, and import them into a new database"
    )


async def main(engine: AsyncEngine) -> None:
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


asyncio.run(main(config.engine))
