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


# What generated columns are made of must be immutable: `unaccent` is so once its dictionary is named, and
# joining a text array is so for text. The bodies are parsed here, so no search_path can change their meaning.
FUNCTIONS = (
    """CREATE FUNCTION plain_words(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(public.unaccent('public.unaccent'::regdictionary, value))""",
    """CREATE FUNCTION course_words(title text, tags text[], instructor text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN plain_words(title || ' ' || array_to_string(tags, ' ') || ' ' || instructor)""",
    """CREATE FUNCTION course_search(
        title text, tags text[], instructor text, summary text, description text, outcomes text
    ) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN setweight(to_tsvector('pg_catalog.english'::regconfig, plain_words(title)), 'A')
        || setweight(to_tsvector('pg_catalog.english'::regconfig,
            plain_words(array_to_string(tags, ' ') || ' ' || instructor)), 'B')
        || setweight(to_tsvector('pg_catalog.english'::regconfig, plain_words(summary)), 'C')
        || setweight(to_tsvector('pg_catalog.english'::regconfig, plain_words(description || ' ' || outcomes)), 'D')""",
)
# Courses with words like these, by trigrams: what the list turns to when no word matches exactly. Two letters
# swapped in a short word leave 0.28; the list cuts what is far worse than the best. The threshold belongs to
# the function, so that no connection has to set it.
SIMILAR = """CREATE FUNCTION similar_courses(words text) RETURNS TABLE (uuid uuid, rank real)
    LANGUAGE sql STABLE PARALLEL SAFE SET pg_trgm.word_similarity_threshold = 0.25
    BEGIN ATOMIC
        SELECT c.uuid, public.word_similarity(words, c.search_words) FROM courses c
        WHERE words OPERATOR(public.<%) c.search_words;
    END"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in FUNCTIONS:
        op.execute(statement)
    op.create_table(
        "categories",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("parent_uuid", sa.Uuid(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_uuid"], ["categories.uuid"], name=op.f("fk_categories_parent_uuid_categories")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_categories")),
    )
    op.create_index(op.f("ix_categories_parent_uuid"), "categories", ["parent_uuid"], unique=False)
    op.create_index(
        "uq_categories_slug_live",
        "categories",
        ["slug"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "course_stats",
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("enrolled_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("average_rating", sa.Numeric(precision=3, scale=2), server_default="0", nullable=False),
        sa.Column("reviews_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("views_count", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("course", name=op.f("pk_course_stats")),
    )
    shared.create_service_tables_v1()
    op.create_table(
        "enrollments",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("completed_lessons", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_enrollments")),
    )
    op.create_index(op.f("ix_enrollments_course_status"), "enrollments", ["course", "status"], unique=False)
    op.create_index(op.f("ix_enrollments_student_course"), "enrollments", ["student", "course"], unique=False)
    op.create_table(
        "tags",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("name", postgresql.CITEXT(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_tags")),
        sa.UniqueConstraint("name", name=op.f("uq_tags_name")),
    )
    op.create_index(op.f("ix_tags_slug"), "tags", ["slug"], unique=False)
    op.create_table(
        "users",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("avatar", sa.Text(), nullable=True),
        sa.Column("bio", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_users")),
    )
    op.create_table(
        "courses",
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("learning_outcomes", sa.Text(), nullable=False),
        sa.Column("prerequisites", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("duration_hours", sa.Double(), nullable=True),
        sa.Column("category_uuid", sa.Uuid(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("enrollment_limit", sa.Integer(), nullable=True),
        sa.Column("is_featured", sa.Boolean(), nullable=False),
        sa.Column("thumbnail", sa.Text(), nullable=True),
        sa.Column("preview_video", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("instructor", sa.Uuid(), nullable=False),
        sa.Column("co_instructors", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("instructor_name", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("draft_changed", sa.Boolean(), nullable=False),
        sa.Column("total_lessons", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "search",
            postgresql.TSVECTOR(),
            sa.Computed(
                "course_search(title, tags, instructor_name, short_description, description, learning_outcomes)",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column(
            "search_words",
            sa.Text(),
            sa.Computed("course_words(title, tags, instructor_name)", persisted=True),
            nullable=False,
        ),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "level IN ('beginner', 'intermediate', 'advanced')", name=op.f("ck_courses_level")
        ),
        sa.CheckConstraint(
            "status <> 'published' OR revision IS NOT NULL", name=op.f("ck_courses_published_revision")
        ),
        sa.CheckConstraint("status IN ('draft', 'published', 'archived')", name=op.f("ck_courses_status")),
        sa.ForeignKeyConstraint(
            ["category_uuid"], ["categories.uuid"], name=op.f("fk_courses_category_uuid_categories")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_courses")),
    )
    op.create_index(op.f("ix_courses_category_uuid"), "courses", ["category_uuid"], unique=False)
    op.create_index(
        op.f("ix_courses_co_instructors"), "courses", ["co_instructors"], unique=False, postgresql_using="gin"
    )
    op.create_index(op.f("ix_courses_instructor"), "courses", ["instructor"], unique=False)
    op.create_index(
        "ix_courses_newest",
        "courses",
        [sa.literal_column("published_at DESC"), "uuid"],
        unique=False,
        postgresql_where=sa.text("status = 'published' AND deleted_at IS NULL"),
    )
    op.create_index(op.f("ix_courses_search"), "courses", ["search"], unique=False, postgresql_using="gin")
    op.create_index(
        "ix_courses_search_words",
        "courses",
        ["search_words"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"search_words": "gin_trgm_ops"},
    )
    op.create_index(op.f("ix_courses_tags"), "courses", ["tags"], unique=False, postgresql_using="gin")
    op.create_index(
        "uq_courses_slug_live",
        "courses",
        ["slug"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "course_prerequisites",
        sa.Column("course_uuid", sa.Uuid(), nullable=False),
        sa.Column("requires_uuid", sa.Uuid(), nullable=False),
        sa.CheckConstraint("course_uuid <> requires_uuid", name=op.f("ck_course_prerequisites_not_itself")),
        sa.ForeignKeyConstraint(
            ["course_uuid"], ["courses.uuid"], name=op.f("fk_course_prerequisites_course_uuid_courses")
        ),
        sa.ForeignKeyConstraint(
            ["requires_uuid"], ["courses.uuid"], name=op.f("fk_course_prerequisites_requires_uuid_courses")
        ),
        sa.PrimaryKeyConstraint("course_uuid", "requires_uuid", name=op.f("pk_course_prerequisites")),
    )
    op.create_index(
        op.f("ix_course_prerequisites_requires_uuid"), "course_prerequisites", ["requires_uuid"], unique=False
    )
    op.create_table(
        "course_revisions",
        sa.Column("course_uuid", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("published_by", sa.Uuid(), nullable=True),
        sa.Column(
            "published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["course_uuid"], ["courses.uuid"], name=op.f("fk_course_revisions_course_uuid_courses")
        ),
        sa.PrimaryKeyConstraint("course_uuid", "number", name=op.f("pk_course_revisions")),
    )
    op.create_foreign_key(
        "fk_courses_revision",
        "courses",
        "course_revisions",
        ["uuid", "revision"],
        ["course_uuid", "number"],
        initially="DEFERRED",
        deferrable=True,
    )
    op.create_table(
        "modules",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("course_uuid", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(position IS NULL) = (removed_at IS NOT NULL)", name=op.f("ck_modules_removed")),
        sa.ForeignKeyConstraint(
            ["course_uuid"], ["courses.uuid"], name=op.f("fk_modules_course_uuid_courses")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_modules")),
        sa.UniqueConstraint(
            "course_uuid",
            "position",
            deferrable=True,
            initially="DEFERRED",
            name=op.f("uq_modules_course_uuid_position"),
        ),
    )
    op.create_table(
        "lessons",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("course_uuid", sa.Uuid(), nullable=False),
        sa.Column("module_uuid", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("text_content", sa.Text(), nullable=False),
        sa.Column("video_url", sa.Text(), nullable=True),
        sa.Column("video_duration", sa.Integer(), nullable=True),
        sa.Column("estimated_time_minutes", sa.Integer(), nullable=True),
        sa.Column("is_preview", sa.Boolean(), nullable=False),
        sa.Column("is_published", sa.Boolean(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("requires_submission", sa.Boolean(), nullable=False),
        sa.Column("file", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("resources", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "content_type IN ('video', 'text', 'pdf', 'slides', 'interactive', 'assignment', 'quiz')",
            name=op.f("ck_lessons_content_type"),
        ),
        sa.CheckConstraint("(position IS NULL) = (removed_at IS NOT NULL)", name=op.f("ck_lessons_removed")),
        sa.ForeignKeyConstraint(
            ["course_uuid"], ["courses.uuid"], name=op.f("fk_lessons_course_uuid_courses")
        ),
        sa.ForeignKeyConstraint(
            ["module_uuid"], ["modules.uuid"], name=op.f("fk_lessons_module_uuid_modules")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_lessons")),
        sa.UniqueConstraint(
            "module_uuid",
            "position",
            deferrable=True,
            initially="DEFERRED",
            name=op.f("uq_lessons_module_uuid_position"),
        ),
    )
    op.create_index(op.f("ix_lessons_course_uuid"), "lessons", ["course_uuid"], unique=False)
    op.execute(SIMILAR)


def downgrade() -> None:
    op.execute("DROP FUNCTION similar_courses(text)")
    op.execute("ALTER TABLE courses DROP CONSTRAINT fk_courses_revision")
    op.drop_index(op.f("ix_lessons_course_uuid"), table_name="lessons")
    op.drop_table("lessons")
    op.drop_table("modules")
    op.drop_table("course_revisions")
    op.drop_index(op.f("ix_course_prerequisites_requires_uuid"), table_name="course_prerequisites")
    op.drop_table("course_prerequisites")
    op.drop_index(
        "uq_courses_slug_live", table_name="courses", postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.drop_index(op.f("ix_courses_tags"), table_name="courses", postgresql_using="gin")
    op.drop_index(
        "ix_courses_search_words",
        table_name="courses",
        postgresql_using="gin",
        postgresql_ops={"search_words": "gin_trgm_ops"},
    )
    op.drop_index(op.f("ix_courses_search"), table_name="courses", postgresql_using="gin")
    op.drop_index(
        "ix_courses_newest",
        table_name="courses",
        postgresql_where=sa.text("status = 'published' AND deleted_at IS NULL"),
    )
    op.drop_index(op.f("ix_courses_instructor"), table_name="courses")
    op.drop_index(op.f("ix_courses_co_instructors"), table_name="courses", postgresql_using="gin")
    op.drop_index(op.f("ix_courses_category_uuid"), table_name="courses")
    op.drop_table("courses")
    op.drop_table("users")
    op.drop_index(op.f("ix_tags_slug"), table_name="tags")
    op.drop_table("tags")
    shared.drop_service_tables_v1()
    op.drop_index(op.f("ix_enrollments_student_course"), table_name="enrollments")
    op.drop_index(op.f("ix_enrollments_course_status"), table_name="enrollments")
    op.drop_table("enrollments")
    op.drop_table("course_stats")
    op.drop_index(
        "uq_categories_slug_live", table_name="categories", postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.drop_index(op.f("ix_categories_parent_uuid"), table_name="categories")
    op.drop_table("categories")
    op.execute("DROP FUNCTION course_search(text, text[], text, text, text, text)")
    op.execute("DROP FUNCTION course_words(text, text[], text)")
    op.execute("DROP FUNCTION plain_words(text)")
