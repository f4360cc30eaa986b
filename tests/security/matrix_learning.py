"""Who may call the operations of learning."""

from tests.security import world as things
from tests.security.row import (
    EVERYBODY,
    LEARNERS_OWN,
    PNG,
    SIGNED_IN,
    TAUGHT,
    TEACHERS,
    Row,
    in_course,
    nobody,
    with_logo,
)

LEARNING = {
    "learning_enroll_in_course": Row("401 2xx 2xx 2xx 2xx 2xx 403 2xx", things.seat, body={}),
    "learning_unenroll_from_course": Row("401 403 403 403 403 403 2xx 403", things.seat, learner=True),
    "learning_list_enrollments": Row(SIGNED_IN),
    "learning_list_my_courses": Row(SIGNED_IN),
    "learning_list_students": Row(TEACHERS),
    "learning_complete_lesson": Row("401 403 403 403 403 403 2xx 403", things.seat, in_course, learner=True),
    "learning_record_lesson_progress": Row(
        "401 403 403 403 403 403 2xx 403",
        things.seat,
        in_course,
        body={"position_seconds": 5, "seconds_spent": 5},
        learner=True,
    ),
    "learning_get_lesson_progress": Row(
        "401 403 403 403 403 403 2xx 403", things.seat, in_course, learner=True
    ),
    "learning_get_lesson_notes": Row("401 403 403 403 403 403 2xx 403", things.seat, in_course, learner=True),
    "learning_save_lesson_notes": Row(
        "401 403 403 403 403 403 2xx 403", things.seat, in_course, body={"notes": "Mine."}, learner=True
    ),
    "learning_start_attempt": Row("401 404 404 404 403 403 2xx 403", things.published_quiz, learner=True),
    "learning_list_attempts": Row("401 404 404 404 2xx 2xx 2xx 2xx", things.published_quiz),
    "learning_get_attempt": Row(LEARNERS_OWN, things.attempt, learner=True),
    "learning_save_answer": Row(
        "401 404 404 404 403 403 2xx 403",
        things.attempt,
        lambda t: (t["uuid"], t["question"]),
        body={"answer": True},
        learner=True,
    ),
    "learning_submit_attempt": Row("401 404 404 404 403 403 2xx 403", things.attempt, learner=True),
    "learning_grade_answer": Row(
        "401 404 404 404 2xx 2xx 2xx 403",
        things.submitted_attempt,
        body=lambda w, t: {"question": t["question"], "points": 1},
    ),
    "learning_regrade_quiz": Row(
        "401 404 404 404 2xx 2xx 2xx 403",
        things.submitted_attempt,
        lambda t: (t["quiz"],),
        body=lambda w, t: {"question": t["question"], "mode": "full_credit"},
    ),
    "learning_get_statistics": Row("401 404 404 404 2xx 2xx 2xx 403", things.published_quiz),
    "learning_list_extensions": Row("401 404 404 404 2xx 2xx 2xx 403", things.published_quiz),
    "learning_put_extension": Row(
        "401 404 404 404 2xx 2xx 2xx 403",
        things.published_quiz,
        lambda t: (t["uuid"], t["member"]),
        body={"extra_seconds": 60},
    ),
    "learning_excuse_learner": Row(
        "401 404 404 404 2xx 2xx 2xx 403",
        things.published_quiz,
        lambda t: (t["uuid"], t["member"]),
        body={"excused": True},
    ),
    "learning_create_bank": Row(
        "401 403 404 404 2xx 2xx 2xx 403",
        things.draft,
        nobody,
        body=lambda w, t: {"course": t["uuid"], "title": "Easy ones"},
    ),
    "learning_list_banks": Row(TEACHERS),
    "learning_get_bank": Row(TAUGHT, things.bank),
    "learning_change_bank": Row(TAUGHT, things.bank, body={"title": "Other"}),
    "learning_delete_bank": Row(TAUGHT, things.bank),
    "learning_list_bank_questions": Row(TAUGHT, things.bank),
    "learning_add_bank_question": Row(
        TAUGHT, things.bank, body={"kind": "essay", "text": "Why?", "points": 1}
    ),
    "learning_get_bank_question": Row(TAUGHT, things.bank, lambda t: (t["uuid"], t["question"])),
    "learning_change_bank_question": Row(
        TAUGHT, things.bank, lambda t: (t["uuid"], t["question"]), body={"text": "Really?"}
    ),
    "learning_delete_bank_question": Row(TAUGHT, things.bank, lambda t: (t["uuid"], t["question"])),
    "learning_create_quiz": Row(
        "401 403 404 404 2xx 2xx 2xx 403",
        things.draft,
        nobody,
        body=lambda w, t: {"course": t["uuid"], "title": "Check"},
    ),
    "learning_list_quizzes": Row(SIGNED_IN),
    "learning_get_quiz": Row("401 404 404 404 2xx 2xx 2xx 404", things.quiz),
    "learning_change_quiz": Row("401 403 404 404 2xx 2xx 2xx 403", things.quiz, body={"title": "Other"}),
    "learning_delete_quiz": Row("401 403 404 404 2xx 2xx 2xx 403", things.quiz),
    "learning_publish_quiz": Row("401 403 404 404 2xx 2xx 2xx 403", things.quiz),
    "learning_list_questions": Row("401 404 404 404 2xx 2xx 2xx 404", things.quiz),
    "learning_add_question": Row(
        "401 403 404 404 2xx 2xx 2xx 403",
        things.quiz,
        body={"kind": "true_false", "text": "Or not?", "points": 1, "correct": False},
    ),
    "learning_get_question": Row(
        "401 404 404 404 2xx 2xx 2xx 404", things.quiz, lambda t: (t["uuid"], t["question"])
    ),
    "learning_change_question": Row(
        "401 403 404 404 2xx 2xx 2xx 403",
        things.quiz,
        lambda t: (t["uuid"], t["question"]),
        body={"text": "Really?"},
    ),
    "learning_delete_question": Row(
        "401 403 404 404 2xx 2xx 2xx 403", things.quiz, lambda t: (t["uuid"], t["question"])
    ),
    "learning_create_assignment": Row(
        "401 403 404 404 2xx 2xx 2xx 403",
        things.draft,
        nobody,
        body=lambda w, t: {"course": t["uuid"], "title": "Draw", "points": 5},
    ),
    "learning_list_assignments": Row(SIGNED_IN),
    "learning_get_assignment": Row("401 404 404 404 2xx 2xx 2xx 2xx", things.assignment),
    "learning_change_assignment": Row(
        "401 403 404 404 2xx 2xx 2xx 403", things.assignment, body={"title": "Other"}
    ),
    "learning_delete_assignment": Row("401 403 404 404 2xx 2xx 2xx 403", things.assignment),
    "learning_get_groups": Row("401 404 404 404 2xx 2xx 2xx 2xx", things.assignment),
    "learning_save_groups": Row(
        "401 403 404 404 2xx 2xx 2xx 403",
        things.assignment,
        body=lambda w, t: {"groups": [{"name": "Red", "members": [w.member.uuid]}]},
    ),
    "learning_submit_work": Row(
        "401 404 404 404 403 403 2xx 403", things.assignment, body={"text": "Here."}, learner=True
    ),
    "learning_list_submissions": Row("401 404 404 404 2xx 2xx 2xx 2xx", things.assignment),
    "learning_list_grading_queue": Row(TEACHERS),
    "learning_get_submission": Row(LEARNERS_OWN, things.submission, learner=True),
    "learning_grade_submission": Row("401 403 404 404 2xx 2xx 2xx 403", things.submission, body={"score": 7}),
    "learning_grade_learner": Row(
        "401 403 404 404 2xx 2xx 2xx 403",
        things.assignment,
        lambda t: (t["uuid"], t["member"]),
        body={"excused": True},
    ),
    "learning_get_grading_policy": Row(TAUGHT, things.seat),
    "learning_save_grading_policy": Row(TAUGHT, things.seat, body={}),
    "learning_get_completion_rules": Row("401 403 403 403 2xx 2xx 2xx 2xx", things.seat, learner=True),
    "learning_save_completion_rules": Row(TAUGHT, things.seat, body={"rules": []}),
    "learning_get_gradebook": Row(TAUGHT, things.seat),
    "learning_export_gradebook": Row(TAUGHT, things.seat),
    "learning_import_gradebook": Row(
        TAUGHT, things.graded_seat, files={"file": ("grades.csv", b"user,Draw\n", "text/csv")}
    ),
    "learning_get_own_grades": Row("401 403 403 403 403 403 2xx 403", things.seat, learner=True),
    "learning_explain_grade": Row(
        LEARNERS_OWN, things.seat, lambda t: (t["uuid"], t["member"]), learner=True
    ),
    "learning_list_certificates": Row(SIGNED_IN),
    "learning_get_certificate": Row(LEARNERS_OWN, things.certificate, learner=True),
    "learning_download_certificate": Row(LEARNERS_OWN, things.certificate, learner=True),
    "learning_revoke_certificate": Row(
        "401 404 404 404 2xx 2xx 403 2xx", things.certificate, body={"reason": "A mistake."}, learner=True
    ),
    "learning_reissue_certificate": Row(LEARNERS_OWN, things.certificate, learner=True),
    "learning_get_certificate_template": Row(TAUGHT, things.seat),
    "learning_save_certificate_template": Row(TAUGHT, things.seat, body={"title": "Diploma"}),
    "learning_preview_certificate": Row(TAUGHT, things.seat),
    "learning_save_certificate_picture": Row(
        TAUGHT, things.seat, with_logo, files={"image": ("dot.png", PNG, "image/png")}
    ),
    "learning_get_certificate_picture": Row(TAUGHT, things.certificate_logo, with_logo),
    "learning_remove_certificate_picture": Row(TAUGHT, things.seat, with_logo),
    "learning_verify_certificate": Row(EVERYBODY, things.certificate),
    "learning_get_streak": Row(SIGNED_IN),
    "learning_get_learning_summary": Row(SIGNED_IN),
}
