"""Keys that sort alike on every machine and live by the database's clock, and no empty times.

Triggers name the columns of `pet_counts`, so that operators and later versions can add columns.

Version 1.2 serves on beside it. So no column goes, and none is new that must be given.
"""

import logging

from alembic import op
from sqlalchemy import Connection

from pets.adapters.sqlalchemy.migrations.locks import lock_table

logger = logging.getLogger(__name__)

revision = "pets_0002"
down_revision = "pets_0001"

# `created_at` of a key, which has an index, is now set by the clock of the database. The time of
# its pet gets a column of its own. In rows that version 1.2 wrote, one time is both.
ADD_TIME_OF_PET = {
    "postgresql": "ALTER TABLE pet_keys ADD COLUMN pet_created_at timestamptz(0)",
    "sqlite": "ALTER TABLE pet_keys ADD COLUMN pet_created_at DATETIME",
}

# The collation is changed while there is no primary key, because then no index is built twice.
# If the order of the database's locale has changed, the old index can have let in a key twice.
# Then the first stays, because a repeated request should get the first pet.
SORT_KEYS = [
    "ALTER TABLE pet_keys DROP CONSTRAINT pet_keys_pkey",
    'ALTER TABLE pet_keys ALTER COLUMN key TYPE text COLLATE "{collation}"',
    """
    DO $$ BEGIN
        ALTER TABLE pet_keys ADD CONSTRAINT pet_keys_pkey PRIMARY KEY (key);
    EXCEPTION WHEN unique_violation THEN
        DELETE FROM pet_keys AS later USING pet_keys AS first
        WHERE later.key = first.key AND later.id > first.id;
        ALTER TABLE pet_keys ADD CONSTRAINT pet_keys_pkey PRIMARY KEY (key);
    END $$
    """,
]

# Go, .NET and others write a time that was never set as the beginning of the year 1, in any time
# zone. PostgreSQL's driver takes that moment for minus infinity.
EARLIEST = "0001-01-02 00:00:00"
LATEST = "9999-12-31 23:59:59"

MOVE_TIMES = "UPDATE pets SET created_at = '{earliest}' WHERE created_at < '{earliest}'"

# The new check is not validated, because that would read the whole table under its lock. All rows
# pass it: the old check let in none but them and those that were just moved.
CHECK_TIMES = [
    "ALTER TABLE pets DROP CONSTRAINT pets_created_at_check",
    """
    ALTER TABLE pets ADD CONSTRAINT pets_created_at_check
        CHECK (created_at BETWEEN '{earliest}+00' AND '{latest}+00') NOT VALID
    """,
]
OLD_EARLIEST = "0001-01-01 00:00:00"

# These need no way back, because they change nothing for version 1.2.
NAME_COLUMNS = r"""
    DO $$ BEGIN
        EXECUTE replace(
            pg_get_functiondef('keep_pet_counts'::regproc),
            E'AS kept\n', E'AS kept (age, type, slot, count)\n'
        );
    END $$
"""
NAME_COLUMNS_ON_SQLITE = """
    UPDATE sqlite_master
    SET sql = replace(sql, 'INTO pet_counts VALUES', 'INTO pet_counts (age, type, count) VALUES')
    WHERE type = 'trigger' AND tbl_name = 'pets'
"""

# SQLite has no statement that changes a check or a trigger, but its manual allows to write the
# schema (https://www.sqlite.org/lang_altertable.html#otheralter). To copy the table would take
# minutes and lose the columns that others have added.
CHECK_TIMES_ON_SQLITE = """
    UPDATE sqlite_master
    SET sql = replace(sql, 'created_at >= ''{old}''', 'created_at >= ''{new}''')
    WHERE type = 'table' AND name = 'pets'
"""
OLD_EARLIEST_ON_SQLITE = "0001-01-01"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(ADD_TIME_OF_PET["sqlite"])
        move_times(connection, EARLIEST)
        write_schema(
            connection,
            CHECK_TIMES_ON_SQLITE.format(old=OLD_EARLIEST_ON_SQLITE, new=EARLIEST),
            NAME_COLUMNS_ON_SQLITE,
        )
        return
    lock_table(connection, "pet_keys")
    connection.exec_driver_sql(ADD_TIME_OF_PET["postgresql"])
    sort_keys(connection, "C")
    connection.exec_driver_sql(NAME_COLUMNS)
    # This lock comes last, so that readers of pets do not wait for the index of keys.
    lock_table(connection, "pets")
    move_times(connection, f"{EARLIEST}+00")
    check_times(connection, EARLIEST)


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        write_schema(
            connection, CHECK_TIMES_ON_SQLITE.format(old=EARLIEST, new=OLD_EARLIEST_ON_SQLITE)
        )
    else:
        sort_keys(connection, "default")
        check_times(connection, OLD_EARLIEST)
    connection.exec_driver_sql("ALTER TABLE pet_keys DROP COLUMN pet_created_at")


def sort_keys(connection: Connection, collation: str) -> None:
    for statement in SORT_KEYS:
        connection.exec_driver_sql(statement.format(collation=collation))


def move_times(connection: Connection, earliest: str) -> None:
    """Give pets the first time that a pet can have if theirs is before it, and say so."""
    moved = connection.exec_driver_sql(MOVE_TIMES.format(earliest=earliest)).rowcount
    if moved:
        logger.warning("created_at of %d pets was before %s, and is now that.", moved, EARLIEST)


def check_times(connection: Connection, earliest: str) -> None:
    for statement in CHECK_TIMES:
        connection.exec_driver_sql(statement.format(earliest=earliest, latest=LATEST))


def write_schema(connection: Connection, *statements: str) -> None:
    """Run statements that change the text of the schema of SQLite."""
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    for statement in statements:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    # Every connection reads the schema again when its number has changed.
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
