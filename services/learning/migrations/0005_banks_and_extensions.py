"""Banks, pools, extensions and grading by hand."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # Waiting for a lock holds up every request behind it, so give up early and try again.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "question_banks",
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_question_banks")),
    )
    op.create_index(op.f("ix_question_banks_course"), "question_banks", ["course"], unique=False)
    op.create_table(
        "quiz_extensions",
        sa.Column("quiz", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("extra_seconds", sa.Integer(), nullable=False),
        sa.Column("extra_attempts", sa.Integer(), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "extra_seconds >= 0 AND extra_attempts >= 0", name=op.f("ck_quiz_extensions_extra")
        ),
        sa.ForeignKeyConstraint(["quiz"], ["quizzes.uuid"], name=op.f("fk_quiz_extensions_quiz_quizzes")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_quiz_extensions")),
        sa.UniqueConstraint("quiz", "student", name=op.f("uq_quiz_extensions_quiz_student")),
    )
    op.create_index(op.f("ix_quiz_extensions_student"), "quiz_extensions", ["student"], unique=False)
    op.add_column("attempt_questions", sa.Column("comment", sa.Text(), server_default="", nullable=False))
    op.add_column("attempt_questions", sa.Column("graded_by", sa.Uuid(), nullable=True))
    op.add_column("attempt_questions", sa.Column("graded_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("attempts", sa.Column("time_limit_seconds", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("closes_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("questions", sa.Column("bank", sa.Uuid(), nullable=True))
    op.alter_column("questions", "quiz", existing_type=sa.UUID(), nullable=True)
    op.create_index(op.f("ix_questions_bank"), "questions", ["bank"], unique=False)
    op.create_foreign_key(
        op.f("fk_questions_bank_question_banks"), "questions", "question_banks", ["bank"], ["uuid"]
    )
    op.add_column(
        "quizzes",
        sa.Column("pools", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
    )
    op.create_check_constraint(op.f("ck_questions_place"), "questions", "(quiz IS NULL) <> (bank IS NULL)")
    op.execute(
        "UPDATE attempts a SET time_limit_seconds = q.time_limit_seconds, closes_at = q.closes_at"
        " FROM quizzes q WHERE q.uuid = a.quiz AND a.status = 'in_progress'"
    )


def downgrade() -> None:
    op.drop_column("quizzes", "pools")
    op.execute("DELETE FROM questions WHERE quiz IS NULL")
    op.drop_constraint(op.f("fk_questions_bank_question_banks"), "questions", type_="foreignkey")
    op.drop_index(op.f("ix_questions_bank"), table_name="questions")
    op.alter_column("questions", "quiz", existing_type=sa.UUID(), nullable=False)
    op.drop_column("questions", "bank")
    op.drop_column("attempts", "closes_at")
    op.drop_column("attempts", "time_limit_seconds")
    op.drop_column("attempt_questions", "graded_at")
    op.drop_column("attempt_questions", "graded_by")
    op.drop_column("attempt_questions", "comment")
    op.drop_index(op.f("ix_quiz_extensions_student"), table_name="quiz_extensions")
    op.drop_table("quiz_extensions")
    op.drop_index(op.f("ix_question_banks_course"), table_name="question_banks")
    op.drop_table("question_banks")
