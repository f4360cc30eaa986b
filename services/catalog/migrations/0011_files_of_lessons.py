"""Files of lessons, since when objects are unused, versions of tags."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Every file that a lesson has or had, and every one that a revision shows; a copy's belongs to the original.
BACKFILL = """INSERT INTO lesson_objects (path, owner, size)
    SELECT DISTINCT ON (file->>'path') file->>'path', c.instructor, (file->>'size')::bigint
    FROM (
        SELECT course_uuid, file FROM lessons WHERE file IS NOT NULL
        UNION ALL
        SELECT course_uuid, jsonb_path_query(content, '$[*].lessons[*].file ? (@ != null)')
        FROM course_revisions
    ) AS kept JOIN courses c ON c.uuid = kept.course_uuid
    ORDER BY file->>'path', c.created_at"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "lesson_objects",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("unused_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("condemned_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_lesson_objects")),
    )
    op.create_index(op.f("ix_lesson_objects_owner"), "lesson_objects", ["owner"], unique=False)
    op.create_index(
        "ix_course_revisions_files",
        "course_revisions",
        [sa.literal_column("jsonb_path_query_array(content, '$[*].lessons[*].file.path')")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_course_revisions_media",
        "course_revisions",
        [sa.literal_column("jsonb_path_query_array(content, '$[*].lessons[*].resources[*].media')")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_lessons_file",
        "lessons",
        [sa.literal_column("(file ->> 'path')")],
        unique=False,
        postgresql_where=sa.text("file IS NOT NULL"),
    )
    op.create_index(
        "ix_lessons_media",
        "lessons",
        [sa.literal_column("jsonb_path_query_array(resources, '$[*].media')")],
        unique=False,
        postgresql_using="gin",
    )
    op.add_column("media_objects", sa.Column("unused_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tags", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column("thumbnails", sa.Column("unused_since", sa.DateTime(timezone=True), nullable=True))
    op.execute(BACKFILL)


def downgrade() -> None:
    op.drop_column("thumbnails", "unused_since")
    op.drop_column("tags", "version")
    op.drop_column("media_objects", "unused_since")
    op.drop_index("ix_lessons_media", table_name="lessons", postgresql_using="gin")
    op.drop_index("ix_lessons_file", table_name="lessons", postgresql_where=sa.text("file IS NOT NULL"))
    op.drop_index("ix_course_revisions_media", table_name="course_revisions", postgresql_using="gin")
    op.drop_index("ix_course_revisions_files", table_name="course_revisions", postgresql_using="gin")
    op.drop_index(op.f("ix_lesson_objects_owner"), table_name="lesson_objects")
    op.drop_table("lesson_objects")
