"""uploads in parts"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "media_uploads",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("media", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("received BETWEEN 0 AND length", name=op.f("ck_media_uploads_received")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_media_uploads")),
    )
    op.create_index(op.f("ix_media_uploads_expires_at"), "media_uploads", ["expires_at"], unique=False)
    op.create_index(op.f("ix_media_uploads_owner"), "media_uploads", ["owner"], unique=False)
    op.create_table(
        "media_parts",
        sa.Column("upload_uuid", sa.Uuid(), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_uuid"],
            ["media_uploads.uuid"],
            name=op.f("fk_media_parts_upload_uuid_media_uploads"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_uuid", "start", name=op.f("pk_media_parts")),
        sa.UniqueConstraint("path", name=op.f("uq_media_parts_path")),
    )
    op.add_column(
        "media_files", sa.Column("variants", sa.ARRAY(sa.Integer()), server_default="{}", nullable=False)
    )
    op.add_column("media_objects", sa.Column("condemned_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("thumbnails", sa.Column("condemned_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("thumbnails", "condemned_at")
    op.drop_column("media_objects", "condemned_at")
    op.drop_column("media_files", "variants")
    op.drop_table("media_parts")
    op.drop_index(op.f("ix_media_uploads_owner"), table_name="media_uploads")
    op.drop_index(op.f("ix_media_uploads_expires_at"), table_name="media_uploads")
    op.drop_table("media_uploads")
