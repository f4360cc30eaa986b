"""History of grades and of grading policies"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "grade_marks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("item", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("score", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("points", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("late_seconds", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.Uuid(), nullable=True),
        sa.CheckConstraint("(score IS NOT NULL) = (status = 'graded')", name=op.f("ck_grade_marks_score")),
        sa.CheckConstraint(
            "status IN ('submitted', 'graded', 'excused')", name=op.f("ck_grade_marks_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grade_marks")),
    )
    op.create_index(
        op.f("ix_grade_marks_course_item_student_at"),
        "grade_marks",
        ["course", "item", "student", "at"],
        unique=False,
    )
    op.create_table(
        "grading_policies",
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_grading_policies")),
        sa.UniqueConstraint("course", name=op.f("uq_grading_policies_course")),
    )
    op.create_table(
        "grading_policy_versions",
        sa.Column("policy", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("saved_by", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy"],
            ["grading_policies.uuid"],
            name=op.f("fk_grading_policy_versions_policy_grading_policies"),
        ),
        sa.PrimaryKeyConstraint("policy", "number", name=op.f("pk_grading_policy_versions")),
    )
    op.add_column("assignments", sa.Column("group", sa.Uuid(), nullable=True))
    op.add_column(
        "assignments", sa.Column("extra_credit", sa.Boolean(), server_default="false", nullable=False)
    )

    op.execute(
        """
        INSERT INTO grade_marks (course, item, student, status, score, points, late_seconds, at)
        SELECT a.course, a.uuid, s.student, s.status, CASE WHEN s.status = 'graded' THEN s.score END, a.points,
               v.late_seconds, CASE WHEN s.status = 'submitted' THEN v.submitted_at
                                    ELSE greatest(s.graded_at, v.submitted_at) END
        FROM submissions s JOIN assignments a ON a.uuid = s.assignment
        JOIN submission_versions v ON v.submission = s.uuid AND v.number = s.number
        """
    )
    op.execute(
        """
        INSERT INTO grade_marks (course, item, student, status, score, points, late_seconds, at)
        SELECT q.course, q.uuid, e.student, 'graded', r.percentage * t.points / 100, t.points, 0, t.at
        FROM quiz_results r JOIN quizzes q ON q.uuid = r.quiz JOIN enrollments e ON e.uuid = r.enrollment
        JOIN LATERAL (
            SELECT max(max_score) AS points, max(submitted_at) AS at FROM attempts
            WHERE quiz = r.quiz AND student = e.student AND status = 'graded'
        ) t ON t.points IS NOT NULL
        WHERE r.percentage IS NOT NULL
        """
    )


def downgrade() -> None:
    op.drop_column("assignments", "extra_credit")
    op.drop_column("assignments", "group")
    op.drop_table("grading_policy_versions")
    op.drop_table("grading_policies")
    op.drop_index(op.f("ix_grade_marks_course_item_student_at"), table_name="grade_marks")
    op.drop_table("grade_marks")
