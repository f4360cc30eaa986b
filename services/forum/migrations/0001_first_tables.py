"""First tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.common.data import shared_tables as shared

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "courses",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("instructors", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_courses")),
    )
    op.create_index(
        op.f("ix_courses_instructors"), "courses", ["instructors"], unique=False, postgresql_using="gin"
    )
    shared.create_service_tables_v1()
    op.create_table(
        "enrollments",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_enrollments")),
    )
    op.create_index(op.f("ix_enrollments_course"), "enrollments", ["course"], unique=False)
    op.create_index(op.f("ix_enrollments_student_course"), "enrollments", ["student", "course"], unique=False)
    op.create_table(
        "forums",
        sa.Column("course", sa.Uuid(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_forums")),
        sa.UniqueConstraint("course", name=op.f("uq_forums_course")),
    )
    op.create_table(
        "moderation_acts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("actor", sa.Uuid(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("discussion", sa.Uuid(), nullable=False),
        sa.Column("reply", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "action IN ('dismiss', 'delete', 'restore')", name=op.f("ck_moderation_acts_action")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moderation_acts")),
    )
    op.create_index(op.f("ix_moderation_acts_discussion"), "moderation_acts", ["discussion"], unique=False)
    op.create_table(
        "people",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("avatar", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("folded_name", sa.Text(), nullable=False),
        sa.Column("folded_first_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_people")),
    )
    op.create_index(op.f("ix_people_folded_first_name"), "people", ["folded_first_name"], unique=False)
    op.create_index(op.f("ix_people_folded_name"), "people", ["folded_name"], unique=False)
    op.create_table(
        "presence",
        sa.Column("discussion", sa.Uuid(), nullable=False),
        sa.Column("process", sa.Uuid(), nullable=False),
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("discussion", "process", "user", name=op.f("pk_presence")),
    )
    op.create_index(op.f("ix_presence_process"), "presence", ["process"], unique=False)
    op.create_table(
        "discussions",
        sa.Column("forum", sa.Uuid(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=True),
        sa.Column("author", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("discussion_type", sa.Text(), nullable=False),
        sa.Column("is_pinned", sa.Boolean(), nullable=False),
        sa.Column("is_locked", sa.Boolean(), nullable=False),
        sa.Column("is_resolved", sa.Boolean(), nullable=False),
        sa.Column("views_count", sa.BigInteger(), nullable=False),
        sa.Column("replies_count", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_by", sa.Uuid(), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "discussion_type IN ('question', 'discussion', 'announcement')", name=op.f("ck_discussions_type")
        ),
        sa.CheckConstraint("replies_count BETWEEN 0 AND last_seq", name=op.f("ck_discussions_replies_count")),
        sa.ForeignKeyConstraint(["forum"], ["forums.uuid"], name=op.f("fk_discussions_forum_forums")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_discussions")),
    )
    op.create_index(op.f("ix_discussions_author"), "discussions", ["author"], unique=False)
    op.create_index(op.f("ix_discussions_course"), "discussions", ["course"], unique=False)
    op.create_index(
        op.f("ix_discussions_forum_is_pinned_created_at_uuid"),
        "discussions",
        ["forum", "is_pinned", "created_at", "uuid"],
        unique=False,
    )
    op.create_index(
        "ix_discussions_words",
        "discussions",
        ["title", "content"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"title": "gin_trgm_ops", "content": "gin_trgm_ops"},
    )
    op.create_table(
        "follows",
        sa.Column("discussion", sa.Uuid(), nullable=False),
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["discussion"], ["discussions.uuid"], name=op.f("fk_follows_discussion_discussions")
        ),
        sa.PrimaryKeyConstraint("discussion", "user", name=op.f("pk_follows")),
    )
    op.create_table(
        "replies",
        sa.Column("discussion", sa.Uuid(), nullable=False),
        sa.Column("parent", sa.Uuid(), nullable=True),
        sa.Column("author", sa.Uuid(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("is_chat", sa.Boolean(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("is_instructor_reply", sa.Boolean(), nullable=False),
        sa.Column("is_solution", sa.Boolean(), nullable=False),
        sa.Column("upvotes", sa.BigInteger(), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_by", sa.Uuid(), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("upvotes >= 0", name=op.f("ck_replies_upvotes")),
        sa.ForeignKeyConstraint(
            ["discussion", "parent"],
            ["replies.discussion", "replies.uuid"],
            name=op.f("fk_replies_discussion_parent_replies"),
        ),
        sa.ForeignKeyConstraint(
            ["discussion"], ["discussions.uuid"], name=op.f("fk_replies_discussion_discussions")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_replies")),
        sa.UniqueConstraint(
            "discussion", "author", "client_id", name=op.f("uq_replies_discussion_author_client_id")
        ),
        sa.UniqueConstraint("discussion", "seq", name=op.f("uq_replies_discussion_seq")),
        sa.UniqueConstraint("discussion", "uuid", name=op.f("uq_replies_discussion_uuid")),
    )
    op.create_index(op.f("ix_replies_author"), "replies", ["author"], unique=False)
    op.create_index(op.f("ix_replies_parent"), "replies", ["parent"], unique=False)
    op.create_index(
        "uq_replies_solution", "replies", ["discussion"], unique=True, postgresql_where=sa.text("is_solution")
    )
    op.create_table(
        "flags",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("discussion", sa.Uuid(), nullable=False),
        sa.Column("reply", sa.Uuid(), nullable=True),
        sa.Column("reporter", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["discussion"], ["discussions.uuid"], name=op.f("fk_flags_discussion_discussions")
        ),
        sa.ForeignKeyConstraint(["reply"], ["replies.uuid"], name=op.f("fk_flags_reply_replies")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_flags")),
    )
    op.create_index(
        op.f("ix_flags_discussion_created_at"), "flags", ["discussion", "created_at"], unique=False
    )
    op.create_index(
        "uq_flags_open",
        "flags",
        ["discussion", "reply", "reporter"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "upvotes",
        sa.Column("reply", sa.Uuid(), nullable=False),
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["reply"], ["replies.uuid"], name=op.f("fk_upvotes_reply_replies")),
        sa.PrimaryKeyConstraint("reply", "user", name=op.f("pk_upvotes")),
    )


def downgrade() -> None:
    op.drop_table("upvotes")
    op.drop_index(
        "uq_flags_open",
        table_name="flags",
        postgresql_where=sa.text("resolved_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.drop_index(op.f("ix_flags_discussion_created_at"), table_name="flags")
    op.drop_table("flags")
    op.drop_index("uq_replies_solution", table_name="replies", postgresql_where=sa.text("is_solution"))
    op.drop_index(op.f("ix_replies_parent"), table_name="replies")
    op.drop_index(op.f("ix_replies_author"), table_name="replies")
    op.drop_table("replies")
    op.drop_table("follows")
    op.drop_index(
        "ix_discussions_words",
        table_name="discussions",
        postgresql_using="gin",
        postgresql_ops={"title": "gin_trgm_ops", "content": "gin_trgm_ops"},
    )
    op.drop_index(op.f("ix_discussions_forum_is_pinned_created_at_uuid"), table_name="discussions")
    op.drop_index(op.f("ix_discussions_course"), table_name="discussions")
    op.drop_index(op.f("ix_discussions_author"), table_name="discussions")
    op.drop_table("discussions")
    op.drop_index(op.f("ix_presence_process"), table_name="presence")
    op.drop_table("presence")
    op.drop_index(op.f("ix_people_folded_name"), table_name="people")
    op.drop_index(op.f("ix_people_folded_first_name"), table_name="people")
    op.drop_table("people")
    shared.drop_service_tables_v1()
    op.drop_index(op.f("ix_moderation_acts_discussion"), table_name="moderation_acts")
    op.drop_table("moderation_acts")
    op.drop_table("forums")
    op.drop_index(op.f("ix_enrollments_student_course"), table_name="enrollments")
    op.drop_index(op.f("ix_enrollments_course"), table_name="enrollments")
    op.drop_table("enrollments")
    op.drop_index(op.f("ix_courses_instructors"), table_name="courses", postgresql_using="gin")
    op.drop_table("courses")
