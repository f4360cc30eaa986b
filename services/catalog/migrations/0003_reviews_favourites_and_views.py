"""Reviews, favourites and views."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "course_views",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("viewer", sa.LargeBinary(), nullable=False),
        sa.Column("counted", sa.Boolean(), server_default="false", nullable=False),
        sa.PrimaryKeyConstraint("day", "course", "viewer", name=op.f("pk_course_views")),
    )
    op.create_index(
        "ix_course_views_waiting",
        "course_views",
        ["course"],
        unique=False,
        postgresql_where=sa.text("NOT counted"),
    )
    op.create_table(
        "favorites",
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.Column("course_uuid", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["course_uuid"], ["courses.uuid"], name=op.f("fk_favorites_course_uuid_courses")
        ),
        sa.PrimaryKeyConstraint("user", "course_uuid", name=op.f("pk_favorites")),
    )
    op.create_table(
        "reviews",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("course_uuid", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("rating", sa.SmallInteger(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_reviews_rating")),
        sa.ForeignKeyConstraint(
            ["course_uuid"], ["courses.uuid"], name=op.f("fk_reviews_course_uuid_courses")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_reviews")),
    )
    op.create_index(
        "ix_reviews_newest",
        "reviews",
        ["course_uuid", sa.literal_column("created_at DESC")],
        unique=False,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_index(op.f("ix_reviews_student"), "reviews", ["student"], unique=False)
    op.create_index(
        "uq_reviews_course_student_live",
        "reviews",
        ["course_uuid", "student"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "helpful_votes",
        sa.Column("review_uuid", sa.Uuid(), nullable=False),
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["review_uuid"], ["reviews.uuid"], name=op.f("fk_helpful_votes_review_uuid_reviews")
        ),
        sa.PrimaryKeyConstraint("review_uuid", "user", name=op.f("pk_helpful_votes")),
    )
    op.create_index(op.f("ix_helpful_votes_user"), "helpful_votes", ["user"], unique=False)
    op.add_column("courses", sa.Column("edited_version", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("UPDATE courses SET edited_version = version")


def downgrade() -> None:
    op.drop_column("courses", "edited_version")
    op.drop_index(op.f("ix_helpful_votes_user"), table_name="helpful_votes")
    op.drop_table("helpful_votes")
    op.drop_index(
        "uq_reviews_course_student_live", table_name="reviews", postgresql_where=sa.text("removed_at IS NULL")
    )
    op.drop_index(op.f("ix_reviews_student"), table_name="reviews")
    op.drop_index("ix_reviews_newest", table_name="reviews", postgresql_where=sa.text("removed_at IS NULL"))
    op.drop_table("reviews")
    op.drop_table("favorites")
    op.drop_index(
        "ix_course_views_waiting", table_name="course_views", postgresql_where=sa.text("NOT counted")
    )
    op.drop_table("course_views")
