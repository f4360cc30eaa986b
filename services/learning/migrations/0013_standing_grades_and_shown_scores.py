"""Grades that stand while newer work waits, excuses from quizzes, and what was said of scores."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

MARKS = "status IN ('submitted', 'graded', 'excused'%s)"

# A change of one part of the policy had dropped the others.
REPAIR = """UPDATE quizzes SET feedback = '{"score": "immediately", "correctness": "immediately",
 "answers": "after_close"}' || feedback WHERE NOT feedback ?& ARRAY['score', 'correctness', 'answers']"""
# What learners see by now has been said.
SHOWN = """UPDATE attempts a SET score_shown = q.kind <> 'survey' AND (q.feedback->>'score' = 'immediately'
 OR q.feedback->>'score' = 'after_close' AND q.closes_at IS NOT NULL AND now() > greatest(q.closes_at,
 (SELECT closes_at FROM quiz_extensions e WHERE e.quiz = a.quiz AND e.student = a.student)))
 FROM quizzes q WHERE q.uuid = a.quiz AND a.status = 'graded'"""
# The version that a grade is of: the newest one when it was given.
GRADED = """UPDATE submissions s SET graded_number = (SELECT coalesce(max(v.number), 0)
 FROM submission_versions v WHERE v.submission = s.uuid AND v.submitted_at <= s.graded_at)
 WHERE s.score IS NOT NULL"""
# Full credit lies above a score; what it had written over is not known any more.
CREDITED = """UPDATE attempt_questions SET score = NULL
 WHERE content ? 'full_credit' AND graded_by IS NULL AND score IS NOT NULL"""


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("attempts", sa.Column("score_shown", sa.Boolean(), nullable=True))
    op.create_index(
        "ix_attempts_shown",
        "attempts",
        ["quiz", "score_shown"],
        unique=False,
        postgresql_where=sa.text("status = 'graded'"),
    )
    op.add_column(
        "quiz_extensions", sa.Column("excused", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column("submissions", sa.Column("graded_number", sa.Integer(), nullable=True))
    op.drop_constraint(op.f("ck_grade_marks_status"), "grade_marks", type_="check")
    op.create_check_constraint(op.f("ck_grade_marks_status"), "grade_marks", MARKS % ", 'open'")
    for statement in (REPAIR, SHOWN, GRADED, CREDITED):
        op.execute(statement)


def downgrade() -> None:
    op.execute("UPDATE grade_marks SET status = 'submitted' WHERE status = 'open'")
    op.drop_constraint(op.f("ck_grade_marks_status"), "grade_marks", type_="check")
    op.create_check_constraint(op.f("ck_grade_marks_status"), "grade_marks", MARKS % "")
    op.drop_column("submissions", "graded_number")
    op.drop_column("quiz_extensions", "excused")
    op.drop_index("ix_attempts_shown", table_name="attempts", postgresql_where=sa.text("status = 'graded'"))
    op.drop_column("attempts", "score_shown")
