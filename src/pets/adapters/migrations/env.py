"""Alembic runs this file for every command."""

import asyncio

from advanced_alchemy.alembic.commands import AlembicCommandConfig
from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from pets.adapters.tables import VERSION_TABLE, metadata

config = context.config
assert isinstance(config, AlembicCommandConfig)
assert isinstance(config.engine, AsyncEngine)

# One transaction that holds a lock from before the version is read: processes that migrate at once take turns,
# and who comes second finds nothing left to do. The number is arbitrary; it only has to be always the same.
BEGIN = {
    "postgresql": ["BEGIN", "SELECT pg_advisory_xact_lock(7378697629483820646)"],
    "sqlite": ["BEGIN IMMEDIATE"],
}


def migrate(connection: Connection) -> None:
    for statement in BEGIN[connection.dialect.name]:
        connection.exec_driver_sql(statement)
    try:
        context.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
        context.run_migrations()
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


async def main(engine: AsyncEngine) -> None:
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


asyncio.run(main(config.engine))
