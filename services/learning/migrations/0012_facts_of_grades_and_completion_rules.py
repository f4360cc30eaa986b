"""Facts of grades, and rules of completion."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "completion_rules",
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("check_wanted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_completion_rules")),
        sa.UniqueConstraint("course", name=op.f("uq_completion_rules_course")),
    )
    op.create_table(
        "completion_checks",
        sa.Column("enrollment", sa.Uuid(), nullable=False),
        sa.Column("wanted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("enrollment", name=op.f("pk_completion_checks")),
    )
    op.create_index(op.f("ix_completion_checks_wanted_at"), "completion_checks", ["wanted_at"], unique=False)
    op.create_table(
        "grade_facts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=True),
        sa.Column("content", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('item', 'seat', 'extension')", name=op.f("ck_grade_facts_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grade_facts")),
    )
    op.create_index(
        op.f("ix_grade_facts_course_kind_subject_student_at"),
        "grade_facts",
        ["course", "kind", "subject", "student", "at"],
        unique=False,
    )
    op.create_index(op.f("ix_grade_facts_student"), "grade_facts", ["student"], unique=False)
    op.add_column("grading_policy_versions", sa.Column("event", sa.Uuid(), nullable=True))
    # Those who wait publish by now, so that they have versions.
    op.drop_constraint(op.f("ck_enrollments_waitlisted"), "enrollments", type_="check")
    op.create_check_constraint(
        op.f("ck_enrollments_waiting"), "enrollments", "status <> 'waitlisted' OR waiting_since IS NOT NULL"
    )
    op.execute(
        """
        INSERT INTO grade_facts (course, kind, subject, content, at)
        SELECT q.course, 'item', q.uuid, jsonb_build_object(
                'kind', 'quiz', 'title', q.title, 'points', (own.points + drawn.points)::text,
                'due_at', q.closes_at, 'shows', coalesce(q.feedback->>'score', 'immediately'),
                'created_at', q.created_at), q.published_at
        FROM quizzes q
        CROSS JOIN LATERAL (SELECT coalesce(sum(points), 0) AS points FROM questions WHERE quiz = q.uuid) own
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(best.points), 0) AS points FROM jsonb_array_elements(q.pools) pool
            CROSS JOIN LATERAL (SELECT points FROM questions WHERE bank = (pool->>'bank')::uuid
                                ORDER BY points DESC LIMIT (pool->>'pick')::int) best
        ) drawn
        WHERE q.kind IN ('graded', 'final') AND q.published_at IS NOT NULL
          AND (q.is_published OR q.deleted_at IS NOT NULL)
        """
    )
    op.execute(
        """
        INSERT INTO grade_facts (course, kind, subject, content, at)
        SELECT course, 'item', uuid, jsonb_build_object(
                'kind', 'assignment', 'title', title, 'points', points::text, 'due_at', due_at,
                'posted', posted, 'group', "group", 'extra_credit', extra_credit, 'created_at', created_at),
               created_at
        FROM assignments
        """
    )
    op.execute(
        """
        INSERT INTO grade_facts (course, kind, subject, content, at)
        SELECT course, 'item', uuid, NULL::jsonb, deleted_at FROM quizzes
        WHERE kind IN ('graded', 'final') AND published_at IS NOT NULL AND deleted_at IS NOT NULL
        UNION ALL
        SELECT course, 'item', uuid, NULL::jsonb, deleted_at FROM assignments WHERE deleted_at IS NOT NULL
        """
    )
    op.execute(
        """
        INSERT INTO grade_facts (course, kind, subject, content, at)
        SELECT course, 'seat', student, '{}', enrolled_at FROM enrollments WHERE version > 0
        """
    )
    # When somebody left was not written down: the last that was seen of them is the nearest to it.
    op.execute(
        """
        INSERT INTO grade_facts (course, kind, subject, content, at)
        SELECT course, 'seat', student, NULL, greatest(last_accessed, enrolled_at) FROM enrollments
        WHERE status = 'dropped'
        """
    )
    op.execute(
        """
        INSERT INTO grade_facts (course, kind, subject, student, content, at)
        SELECT q.course, 'extension', x.quiz, x.student, jsonb_build_object('closes_at', x.closes_at), x.updated_at
        FROM quiz_extensions x JOIN quizzes q ON q.uuid = x.quiz WHERE x.closes_at IS NOT NULL
        """
    )


def downgrade() -> None:
    op.drop_column("grading_policy_versions", "event")
    op.drop_constraint(op.f("ck_enrollments_waiting"), "enrollments", type_="check")
    op.create_check_constraint(
        op.f("ck_enrollments_waitlisted"),
        "enrollments",
        "(status = 'waitlisted') = (version = 0)",
        postgresql_not_valid=True,
    )
    op.drop_index(op.f("ix_grade_facts_student"), table_name="grade_facts")
    op.drop_index(op.f("ix_grade_facts_course_kind_subject_student_at"), table_name="grade_facts")
    op.drop_table("grade_facts")
    op.drop_index(op.f("ix_completion_checks_wanted_at"), table_name="completion_checks")
    op.drop_table("completion_checks")
    op.drop_table("completion_rules")
