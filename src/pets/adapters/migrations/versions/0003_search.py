"""Indexes for every order, and the keys under which pets were added once."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0003"
down_revision = "0002"

SECONDS = TIMESTAMP(timezone=True, precision=0)


def upgrade() -> None:
    # The last column is there to be looked at in the index, where pets of the other type are passed over.
    op.create_index("pets_by_type", "pets", ["type", "id"])
    op.create_index("pets_by_age", "pets", ["age", "id", "type"])
    op.create_index("pets_by_created_at", "pets", ["created_at", "id", "type"])
    by_name = sa.text('name COLLATE "C"') if op.get_context().dialect.name == "postgresql" else "name"
    op.create_index("pets_by_name", "pets", [by_name, "id", "type"])

    op.create_table(
        "pet_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("age", sa.SmallInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime().with_variant(SECONDS, "postgresql"), nullable=False),
    )
    op.create_index("pet_keys_by_created_at", "pet_keys", ["created_at"])


def downgrade() -> None:
    op.drop_table("pet_keys")
    for order in ("type", "age", "created_at", "name"):
        op.drop_index(f"pets_by_{order}", "pets")
