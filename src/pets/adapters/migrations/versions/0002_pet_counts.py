"""Counts of pets by type, kept by the database itself, whoever writes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

POSTGRESQL = [
    # Writers that run at once add to different slots, so that they do not wait for each other's commit. The free space
    # lets a count be updated within its page, without touching the index (HOT).
    """CREATE TABLE pet_counts (
        type text NOT NULL, slot smallint NOT NULL, count bigint NOT NULL, PRIMARY KEY (type, slot)
    ) WITH (fillfactor = 10)""",
    # ORDER BY: statements that add to several types lock them in one order, so they cannot deadlock.
    """CREATE FUNCTION keep_pet_counts() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    DECLARE
        slot CONSTANT smallint := pg_backend_pid() % 16;
    BEGIN
        CASE TG_OP
        WHEN 'INSERT' THEN
            INSERT INTO pet_counts AS kept
            SELECT type, slot, count(*) FROM added GROUP BY type ORDER BY type
            ON CONFLICT ON CONSTRAINT pet_counts_pkey DO UPDATE SET count = kept.count + excluded.count;
        WHEN 'DELETE' THEN
            INSERT INTO pet_counts AS kept
            SELECT type, slot, -count(*) FROM removed GROUP BY type ORDER BY type
            ON CONFLICT ON CONSTRAINT pet_counts_pkey DO UPDATE SET count = kept.count + excluded.count;
        WHEN 'UPDATE' THEN
            INSERT INTO pet_counts AS kept
            SELECT type, slot, sum(change)
            FROM (SELECT type, 1 AS change FROM added UNION ALL SELECT type, -1 FROM removed) AS changes
            GROUP BY type HAVING sum(change) <> 0 ORDER BY type
            ON CONFLICT ON CONSTRAINT pet_counts_pkey DO UPDATE SET count = kept.count + excluded.count;
        WHEN 'TRUNCATE' THEN
            DELETE FROM pet_counts;
        END CASE;
        RETURN NULL;
    END $$""",
    # Writers wait from here to the commit, readers do not. Only with them out of the way is the first count exact.
    "LOCK TABLE pets IN SHARE ROW EXCLUSIVE MODE",
    """CREATE TRIGGER keep_counts_on_insert AFTER INSERT ON pets
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_pet_counts()""",
    """CREATE TRIGGER keep_counts_on_update AFTER UPDATE ON pets
        REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_pet_counts()""",
    """CREATE TRIGGER keep_counts_on_delete AFTER DELETE ON pets
        REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION keep_pet_counts()""",
    """CREATE TRIGGER keep_counts_on_truncate AFTER TRUNCATE ON pets
        FOR EACH STATEMENT EXECUTE FUNCTION keep_pet_counts()""",
    "INSERT INTO pet_counts SELECT type, 0, count(*) FROM pets GROUP BY type",
]

SQLITE = [
    """CREATE TABLE pet_counts (
        type TEXT NOT NULL, slot SMALLINT NOT NULL, count BIGINT NOT NULL, PRIMARY KEY (type, slot)
    )""",
    """CREATE TRIGGER keep_counts_on_insert AFTER INSERT ON pets BEGIN
        INSERT INTO pet_counts VALUES (NEW.type, 0, 1) ON CONFLICT (type, slot) DO UPDATE SET count = count + 1;
    END""",
    """CREATE TRIGGER keep_counts_on_update AFTER UPDATE OF type ON pets BEGIN
        UPDATE pet_counts SET count = count - 1 WHERE type = OLD.type;
        INSERT INTO pet_counts VALUES (NEW.type, 0, 1) ON CONFLICT (type, slot) DO UPDATE SET count = count + 1;
    END""",
    """CREATE TRIGGER keep_counts_on_delete AFTER DELETE ON pets BEGIN
        UPDATE pet_counts SET count = count - 1 WHERE type = OLD.type;
    END""",
    "INSERT INTO pet_counts SELECT type, 0, count(*) FROM pets GROUP BY type",
]


def upgrade() -> None:
    for statement in POSTGRESQL if op.get_context().dialect.name == "postgresql" else SQLITE:
        op.execute(sa.text(statement))


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION keep_pet_counts CASCADE")  # and with it the triggers
    else:
        for change in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER keep_counts_on_{change}")
    op.drop_table("pet_counts")
