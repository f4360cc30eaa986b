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
        "assignments",
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("lesson", sa.Uuid(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("points", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("max_submissions", sa.Integer(), nullable=True),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("points > 0", name=op.f("ck_assignments_points")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_assignments")),
    )
    op.create_index(op.f("ix_assignments_course"), "assignments", ["course"], unique=False)
    op.create_index(op.f("ix_assignments_lesson"), "assignments", ["lesson"], unique=False)
    op.create_table(
        "courses",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("category", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("instructor", sa.Uuid(), nullable=False),
        sa.Column("instructors", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("thumbnail", sa.Text(), nullable=True),
        sa.Column("preview_video", sa.Text(), nullable=True),
        sa.Column("is_featured", sa.Boolean(), nullable=False),
        sa.Column("duration_hours", sa.Double(), nullable=True),
        sa.Column("enrollment_limit", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("modules", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("draft_modules", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("lessons", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("points", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("prerequisites", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_courses")),
    )
    op.create_index(op.f("ix_courses_instructor"), "courses", ["instructor"], unique=False)
    op.create_index(
        op.f("ix_courses_instructors"), "courses", ["instructors"], unique=False, postgresql_using="gin"
    )
    shared.create_service_tables_v1()
    op.create_table(
        "enrollments",
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("completed_lessons", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("progress_percentage", sa.Numeric(precision=5, scale=2), nullable=False),
        sa.Column("final_score", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_accessed", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'completed') = (completed_at IS NOT NULL)", name=op.f("ck_enrollments_completed")
        ),
        sa.CheckConstraint("(status = 'waitlisted') = (version = 0)", name=op.f("ck_enrollments_waitlisted")),
        sa.CheckConstraint(
            "status IN ('waitlisted', 'enrolled', 'in_progress', 'completed', 'dropped')",
            name=op.f("ck_enrollments_status"),
        ),
        sa.CheckConstraint("progress_percentage BETWEEN 0 AND 100", name=op.f("ck_enrollments_progress")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_enrollments")),
        sa.UniqueConstraint("course", "student", name=op.f("uq_enrollments_course_student")),
    )
    op.create_index(op.f("ix_enrollments_student"), "enrollments", ["student"], unique=False)
    op.create_index(
        "ix_enrollments_waiting",
        "enrollments",
        ["course", "waiting_since"],
        unique=False,
        postgresql_where=sa.text("waiting_since IS NOT NULL"),
    )
    op.create_table(
        "quizzes",
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("lesson", sa.Uuid(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("time_limit_seconds", sa.Integer(), nullable=True),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("attempts_allowed", sa.Integer(), nullable=True),
        sa.Column("scoring", sa.Text(), nullable=False),
        sa.Column("pass_mark", sa.Numeric(precision=5, scale=2), nullable=False),
        sa.Column("shuffle_questions", sa.Boolean(), nullable=False),
        sa.Column("shuffle_answers", sa.Boolean(), nullable=False),
        sa.Column("feedback", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_published", sa.Boolean(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('practice', 'graded', 'final', 'survey')", name=op.f("ck_quizzes_kind")),
        sa.CheckConstraint(
            "scoring IN ('highest', 'latest', 'average', 'first')", name=op.f("ck_quizzes_scoring")
        ),
        sa.CheckConstraint("pass_mark BETWEEN 0 AND 100", name=op.f("ck_quizzes_pass_mark")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_quizzes")),
    )
    op.create_index(op.f("ix_quizzes_course"), "quizzes", ["course"], unique=False)
    op.create_index(op.f("ix_quizzes_lesson"), "quizzes", ["lesson"], unique=False)
    op.create_table(
        "study_clocks",
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("counted_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_counted", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("student", name=op.f("pk_study_clocks")),
    )
    op.create_table(
        "study_days",
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("seconds", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("student", "local_date", name=op.f("pk_study_days")),
    )
    op.create_table(
        "users",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("avatar", sa.Text(), nullable=True),
        sa.Column("bio", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_users")),
    )
    op.create_table(
        "attempts",
        sa.Column("quiz", sa.Uuid(), nullable=False),
        sa.Column("enrollment", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("score", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("max_score", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("percentage", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('in_progress', 'submitted', 'graded')", name=op.f("ck_attempts_status")
        ),
        sa.ForeignKeyConstraint(
            ["enrollment"], ["enrollments.uuid"], name=op.f("fk_attempts_enrollment_enrollments")
        ),
        sa.ForeignKeyConstraint(["quiz"], ["quizzes.uuid"], name=op.f("fk_attempts_quiz_quizzes")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_attempts")),
        sa.UniqueConstraint("quiz", "student", "number", name=op.f("uq_attempts_quiz_student_number")),
    )
    op.create_index(
        "ix_attempts_deadline",
        "attempts",
        ["deadline"],
        unique=False,
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index(op.f("ix_attempts_enrollment"), "attempts", ["enrollment"], unique=False)
    op.create_index(
        "uq_attempts_open",
        "attempts",
        ["quiz", "student"],
        unique=True,
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_table(
        "certificates",
        sa.Column("certificate_number", sa.Text(), nullable=False),
        sa.Column("enrollment", sa.Uuid(), nullable=False),
        sa.Column("course", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("course_title", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("final_score", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pdf_path", sa.Text(), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('valid', 'revoked', 'superseded')", name=op.f("ck_certificates_status")
        ),
        sa.ForeignKeyConstraint(
            ["enrollment"], ["enrollments.uuid"], name=op.f("fk_certificates_enrollment_enrollments")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_certificates")),
        sa.UniqueConstraint("certificate_number", name=op.f("uq_certificates_certificate_number")),
        sa.UniqueConstraint("enrollment", name=op.f("uq_certificates_enrollment")),
    )
    op.create_index(op.f("ix_certificates_course"), "certificates", ["course"], unique=False)
    op.create_index(
        "ix_certificates_pending",
        "certificates",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("issued_at IS NULL"),
    )
    op.create_index(op.f("ix_certificates_student"), "certificates", ["student"], unique=False)
    op.create_table(
        "lesson_progress",
        sa.Column("enrollment", sa.Uuid(), nullable=False),
        sa.Column("lesson", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("position_seconds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("study_seconds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("points", sa.Integer(), server_default="0", nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notes", sa.Text(), server_default="", nullable=False),
        sa.Column("notes_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["enrollment"], ["enrollments.uuid"], name=op.f("fk_lesson_progress_enrollment_enrollments")
        ),
        sa.PrimaryKeyConstraint("enrollment", "lesson", name=op.f("pk_lesson_progress")),
    )
    op.create_index(op.f("ix_lesson_progress_student"), "lesson_progress", ["student"], unique=False)
    op.create_table(
        "questions",
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("quiz", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("points", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("partial_credit", sa.Boolean(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("points >= 0", name=op.f("ck_questions_points")),
        sa.ForeignKeyConstraint(["quiz"], ["quizzes.uuid"], name=op.f("fk_questions_quiz_quizzes")),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_questions")),
    )
    op.create_index(op.f("ix_questions_quiz"), "questions", ["quiz"], unique=False)
    op.create_table(
        "quiz_results",
        sa.Column("quiz", sa.Uuid(), nullable=False),
        sa.Column("enrollment", sa.Uuid(), nullable=False),
        sa.Column("percentage", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["enrollment"], ["enrollments.uuid"], name=op.f("fk_quiz_results_enrollment_enrollments")
        ),
        sa.ForeignKeyConstraint(["quiz"], ["quizzes.uuid"], name=op.f("fk_quiz_results_quiz_quizzes")),
        sa.PrimaryKeyConstraint("quiz", "enrollment", name=op.f("pk_quiz_results")),
    )
    op.create_index(op.f("ix_quiz_results_enrollment"), "quiz_results", ["enrollment"], unique=False)
    op.create_table(
        "submissions",
        sa.Column("assignment", sa.Uuid(), nullable=False),
        sa.Column("enrollment", sa.Uuid(), nullable=False),
        sa.Column("student", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("score", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.Column("feedback", sa.Text(), nullable=False),
        sa.Column("graded_by", sa.Uuid(), nullable=True),
        sa.Column("graded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('submitted', 'graded', 'excused')", name=op.f("ck_submissions_status")
        ),
        sa.ForeignKeyConstraint(
            ["assignment"], ["assignments.uuid"], name=op.f("fk_submissions_assignment_assignments")
        ),
        sa.ForeignKeyConstraint(
            ["enrollment"], ["enrollments.uuid"], name=op.f("fk_submissions_enrollment_enrollments")
        ),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_submissions")),
        sa.UniqueConstraint("assignment", "enrollment", name=op.f("uq_submissions_assignment_enrollment")),
    )
    op.create_index(op.f("ix_submissions_enrollment"), "submissions", ["enrollment"], unique=False)
    op.create_index(op.f("ix_submissions_student"), "submissions", ["student"], unique=False)
    op.create_table(
        "attempt_questions",
        sa.Column("attempt", sa.Uuid(), nullable=False),
        sa.Column("question", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("points", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("partial_credit", sa.Boolean(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("answer", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("score", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.ForeignKeyConstraint(
            ["attempt"], ["attempts.uuid"], name=op.f("fk_attempt_questions_attempt_attempts")
        ),
        sa.PrimaryKeyConstraint("attempt", "question", name=op.f("pk_attempt_questions")),
    )
    op.create_table(
        "submission_versions",
        sa.Column("submission", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("late_seconds", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.uuid"], name=op.f("fk_submission_versions_submission_submissions")
        ),
        sa.PrimaryKeyConstraint("submission", "number", name=op.f("pk_submission_versions")),
    )


def downgrade() -> None:
    op.drop_table("submission_versions")
    op.drop_table("attempt_questions")
    op.drop_index(op.f("ix_submissions_student"), table_name="submissions")
    op.drop_index(op.f("ix_submissions_enrollment"), table_name="submissions")
    op.drop_table("submissions")
    op.drop_index(op.f("ix_quiz_results_enrollment"), table_name="quiz_results")
    op.drop_table("quiz_results")
    op.drop_index(op.f("ix_questions_quiz"), table_name="questions")
    op.drop_table("questions")
    op.drop_index(op.f("ix_lesson_progress_student"), table_name="lesson_progress")
    op.drop_table("lesson_progress")
    op.drop_index(op.f("ix_certificates_student"), table_name="certificates")
    op.drop_index(
        "ix_certificates_pending", table_name="certificates", postgresql_where=sa.text("issued_at IS NULL")
    )
    op.drop_index(op.f("ix_certificates_course"), table_name="certificates")
    op.drop_table("certificates")
    op.drop_index(
        "uq_attempts_open", table_name="attempts", postgresql_where=sa.text("status = 'in_progress'")
    )
    op.drop_index(op.f("ix_attempts_enrollment"), table_name="attempts")
    op.drop_index(
        "ix_attempts_deadline", table_name="attempts", postgresql_where=sa.text("status = 'in_progress'")
    )
    op.drop_table("attempts")
    op.drop_table("users")
    op.drop_table("study_days")
    op.drop_table("study_clocks")
    op.drop_index(op.f("ix_quizzes_lesson"), table_name="quizzes")
    op.drop_index(op.f("ix_quizzes_course"), table_name="quizzes")
    op.drop_table("quizzes")
    shared.drop_service_tables_v1()
    op.drop_index(
        "ix_enrollments_waiting",
        table_name="enrollments",
        postgresql_where=sa.text("waiting_since IS NOT NULL"),
    )
    op.drop_index(op.f("ix_enrollments_student"), table_name="enrollments")
    op.drop_table("enrollments")
    op.drop_index(op.f("ix_courses_instructors"), table_name="courses", postgresql_using="gin")
    op.drop_index(op.f("ix_courses_instructor"), table_name="courses")
    op.drop_table("courses")
    op.drop_index(op.f("ix_assignments_lesson"), table_name="assignments")
    op.drop_index(op.f("ix_assignments_course"), table_name="assignments")
    op.drop_table("assignments")
