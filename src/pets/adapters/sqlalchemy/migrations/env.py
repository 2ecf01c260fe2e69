"""Alembic runs this file for every command, in one transaction."""

import asyncio

from advanced_alchemy.alembic.commands import AlembicCommandConfig
from alembic import context
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.sqlalchemy import postgresql_session
from pets.adapters.sqlalchemy.tables import VERSION_TABLE, metadata

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


def check_revision() -> None:
    """Raise `CommandError` for a database that another version of this service made."""
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    for revision in context.get_context().get_current_heads():
        if revision not in known:
            raise CommandError(
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
