"""The whole schema, in the SQL of each database."""

from alembic import op

# Databases that were made before the first release have the revisions "0001" to "0003".
revision = "pets_0001"
down_revision = None

# Inside a character class: Unicode's White_Space property and its category Cc, as in the domain.
# PostgreSQL's text and regular expressions cannot hold NUL.
SPACE = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CONTROL = r"\u0001-\u001f\u007f-\u009f"

POSTGRESQL = [
    rf"""
    CREATE TABLE pets (
        id bigint GENERATED ALWAYS AS IDENTITY,
        name text NOT NULL,
        age smallint NOT NULL,
        type text NOT NULL,
        created_at timestamptz(0) NOT NULL,
        CONSTRAINT pets_pkey PRIMARY KEY (id),
        CONSTRAINT pets_id_check CHECK (id >= 1),
        CONSTRAINT pets_name_check
            CHECK (name ~ '^[^{SPACE}{CONTROL}]([^{CONTROL}]{{0,98}}[^{SPACE}{CONTROL}])?$'),
        CONSTRAINT pets_age_check CHECK (age BETWEEN 0 AND 100),
        CONSTRAINT pets_type_check CHECK (type IN ('dog', 'cat')),
        -- Other times, BC and infinity among them, have no place in a Python datetime.
        CONSTRAINT pets_created_at_check
            CHECK (created_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59+00')
    )
    """,
    # An index for each order. It holds the type and the age, so that pets of other types and ages
    # are skipped without reading the table.
    "CREATE INDEX pets_by_type ON pets (type, id)",
    "CREATE INDEX pets_by_age ON pets (age, id, type)",
    "CREATE INDEX pets_by_created_at ON pets (created_at, id, type, age)",
    'CREATE INDEX pets_by_name ON pets (name COLLATE "C", id, type, age)',
    """
    CREATE TABLE pet_keys (
        key text NOT NULL,
        id bigint NOT NULL,
        name text NOT NULL,
        age smallint NOT NULL,
        type text NOT NULL,
        created_at timestamptz(0) NOT NULL,
        CONSTRAINT pet_keys_pkey PRIMARY KEY (key)
    )
    """,
    "CREATE INDEX pet_keys_by_created_at ON pet_keys (created_at)",
    # In the free space of its page a count is updated without touching the index (HOT).
    """
    CREATE TABLE pet_counts (
        age smallint NOT NULL,  -- -1 stands for all ages
        type text NOT NULL,
        slot bigint NOT NULL DEFAULT 0,
        count bigint NOT NULL,
        CONSTRAINT pet_counts_pkey PRIMARY KEY (age, type, slot)
    ) WITH (fillfactor = 50)
    """,
    # The function runs with the rights of its owner, so that a user needs no right to write
    # counts. The search path and the schema's name keep it from using objects of other users.
    """
    CREATE FUNCTION keep_pet_counts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        own_slot bigint := 0;
    BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            TRUNCATE public.pet_counts;  -- DELETE would leave rows that a snapshot does not show
            RETURN NULL;
        END IF;
        -- Each transaction adds to the rows of a slot that no other open transaction has, so no
        -- transaction waits for another. One that already has a slot gets the same slot again.
        IF current_setting('transaction_isolation') = 'read committed' THEN
            WHILE NOT pg_try_advisory_xact_lock(TG_RELID::integer, own_slot::integer) LOOP
                own_slot := own_slot + 1;
            END LOOP;
        ELSE
            -- Rows that changed since the snapshot cannot be updated, so it gets rows of its own.
            own_slot := -pg_current_xact_id()::text::bigint;
        END IF;
        CASE TG_OP
        WHEN 'INSERT' THEN
            INSERT INTO public.pet_counts AS kept
            SELECT coalesce(age, -1), type, own_slot, count(*) FROM added
            GROUP BY GROUPING SETS ((age, type), (type))
            ON CONFLICT (age, type, slot) DO UPDATE SET count = kept.count + excluded.count;
        WHEN 'DELETE' THEN
            INSERT INTO public.pet_counts AS kept
            SELECT coalesce(age, -1), type, own_slot, -count(*) FROM removed
            GROUP BY GROUPING SETS ((age, type), (type))
            ON CONFLICT (age, type, slot) DO UPDATE SET count = kept.count + excluded.count;
        WHEN 'UPDATE' THEN
            INSERT INTO public.pet_counts AS kept
            SELECT coalesce(age, -1), type, own_slot, sum(change)
            FROM (
                SELECT age, type, 1 AS change FROM added
                UNION ALL
                SELECT age, type, -1 FROM removed
            ) AS changes
            GROUP BY GROUPING SETS ((age, type), (type)) HAVING sum(change) <> 0
            ON CONFLICT (age, type, slot) DO UPDATE SET count = kept.count + excluded.count;
        END CASE;
        RETURN NULL;
    END $$
    """,
    "REVOKE EXECUTE ON FUNCTION keep_pet_counts FROM PUBLIC",
    """
    CREATE TRIGGER keep_counts_on_insert AFTER INSERT ON pets
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION keep_pet_counts()
    """,
    """
    CREATE TRIGGER keep_counts_on_update AFTER UPDATE ON pets
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION keep_pet_counts()
    """,
    """
    CREATE TRIGGER keep_counts_on_delete AFTER DELETE ON pets
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION keep_pet_counts()
    """,
    """
    CREATE TRIGGER keep_counts_on_truncate AFTER TRUNCATE ON pets
    FOR EACH STATEMENT EXECUTE FUNCTION keep_pet_counts()
    """,
]

# SQLite's GLOB has no escapes. The spaces are without control characters, which no name has.
SQLITE_CONTROL = "char(1) || '-' || char(31) || char(127) || '-' || char(159)"
SQLITE_SPACES = (
    "char(32, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201, 8202,"
    " 8232, 8233, 8239, 8287, 12288)"
)

SQLITE = [
    # Without AUTOINCREMENT the id of the newest pet would be given again after its removal.
    f"""
    CREATE TABLE pets (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        age SMALLINT NOT NULL,
        type TEXT NOT NULL,
        created_at DATETIME NOT NULL,
        CONSTRAINT pets_id_check CHECK (id >= 1),
        CONSTRAINT pets_name_check CHECK (
            typeof(name) = 'text'
            AND length(name) BETWEEN 1 AND 100
            AND instr(name, char(0)) = 0
            AND name NOT GLOB '*[' || {SQLITE_CONTROL} || ']*'
            AND name = trim(name, {SQLITE_SPACES})
        ),
        CONSTRAINT pets_age_check CHECK (typeof(age) = 'integer' AND age BETWEEN 0 AND 100),
        CONSTRAINT pets_type_check CHECK (type IN ('dog', 'cat')),
        -- Exactly YYYY-MM-DD HH:MM:SS, because times are compared as text. SQLite computes the
        -- day only if something is added, and so refuses 30 February. For a text that is no
        -- time, datetime() returns NULL.
        CONSTRAINT pets_created_at_check CHECK (
            typeof(created_at) = 'text'
            AND created_at >= '0001-01-01'
            AND created_at IS datetime(created_at, '+0 seconds')
        )
    )
    """,
    "CREATE INDEX pets_by_type ON pets (type, id)",
    "CREATE INDEX pets_by_age ON pets (age, id, type)",
    "CREATE INDEX pets_by_created_at ON pets (created_at, id, type, age)",
    "CREATE INDEX pets_by_name ON pets (name, id, type, age)",
    """
    CREATE TABLE pet_keys (
        key TEXT NOT NULL PRIMARY KEY,
        id BIGINT NOT NULL,
        name TEXT NOT NULL,
        age SMALLINT NOT NULL,
        type TEXT NOT NULL,
        created_at DATETIME NOT NULL
    )
    """,
    "CREATE INDEX pet_keys_by_created_at ON pet_keys (created_at)",
    # SQLite has one writer at a time, so it needs no slots.
    """
    CREATE TABLE pet_counts (
        age SMALLINT NOT NULL,  -- -1 stands for all ages
        type TEXT NOT NULL,
        count BIGINT NOT NULL,
        PRIMARY KEY (age, type)
    ) WITHOUT ROWID
    """,
    """
    CREATE TRIGGER keep_counts_on_insert AFTER INSERT ON pets BEGIN
        INSERT INTO pet_counts VALUES (-1, NEW.type, 1), (NEW.age, NEW.type, 1)
        ON CONFLICT (age, type) DO UPDATE SET count = count + 1;
    END
    """,
    """
    CREATE TRIGGER keep_counts_on_update AFTER UPDATE OF age, type ON pets BEGIN
        UPDATE pet_counts SET count = count - 1 WHERE type = OLD.type AND age IN (-1, OLD.age);
        INSERT INTO pet_counts VALUES (-1, NEW.type, 1), (NEW.age, NEW.type, 1)
        ON CONFLICT (age, type) DO UPDATE SET count = count + 1;
    END
    """,
    """
    CREATE TRIGGER keep_counts_on_delete AFTER DELETE ON pets BEGIN
        UPDATE pet_counts SET count = count - 1 WHERE type = OLD.type AND age IN (-1, OLD.age);
    END
    """,
]

STATEMENTS = {"postgresql": POSTGRESQL, "sqlite": SQLITE}


def upgrade() -> None:
    connection = op.get_bind()
    for statement in STATEMENTS[connection.dialect.name]:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    for table in ("pets", "pet_keys", "pet_counts"):
        op.drop_table(table)  # This drops its indexes and triggers too.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION keep_pet_counts")
