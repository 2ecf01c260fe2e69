"""Pets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0001"
down_revision = None

WHITE_SPACE = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CONTROL = r"\u0001-\u001f\u007f-\u009f"
NAME = rf"^[^{WHITE_SPACE}{CONTROL}]([^{CONTROL}]{{0,98}}[^{WHITE_SPACE}{CONTROL}])?$"
SECONDS = TIMESTAMP(timezone=True, precision=0)


def upgrade() -> None:
    op.create_table(
        "pets",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("age", sa.SmallInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime().with_variant(TIMESTAMP(timezone=True, precision=0), "postgresql"),
            nullable=False,
        ),
        sa.CheckConstraint(f"name ~ '{NAME}'", "pets_name_check").ddl_if(dialect="postgresql"),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 100", "pets_name_check").ddl_if(dialect="sqlite"),
        sa.CheckConstraint("age BETWEEN 0 AND 100", "pets_age_check"),
        sa.CheckConstraint("type IN ('dog', 'cat')", "pets_type_check"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("pets")
