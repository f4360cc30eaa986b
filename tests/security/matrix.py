"""Who may call what: one row for each operation of the merged OpenAPI document.

A row's eight statuses belong to `world.ROLES`: anonymous, another student, another teacher, moderator,
manager, admin, the owner, and the member. The owner is whose thing it is: the course's teacher, or for rows
with `learner` the enrolled student. The member is the other one of the two. `2xx` must be a success.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.security import world as things
from tests.security.world import World
from tests.support import PASSWORD, Json

EVERYBODY = "2xx 2xx 2xx 2xx 2xx 2xx 2xx 2xx"
SIGNED_IN = "401 2xx 2xx 2xx 2xx 2xx 2xx 2xx"
TEACHERS = "401 403 2xx 2xx 2xx 2xx 2xx 403"
NOT_ENABLED = "401 409 409 409 409 409 409 409"
WRONG_CODE = "422 422 422 422 422 422 422 422"
MANAGERS = "401 403 403 403 2xx 2xx 403 403"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)

Body = dict[str, Any] | Callable[[World, Any], Any] | None


@dataclass(frozen=True)
class Row:
    """`make` gives the thing, `path` its ids for the template's placeholders, `body` what is sent
    (or `files`, or `raw`: options of the request as they are).

    `before` is done as the caller; after a success with `login_again` the caller's session is a new one.
    """

    statuses: str
    make: Any = None
    path: Callable[[Any], tuple[str, ...]] = field(default=lambda thing: (thing["uuid"],))
    body: Body = None
    files: Any = None
    raw: Json | None = None
    query: str | Callable[[Any], str] = ""
    learner: bool = False
    login_again: bool = False
    before: Any = None


def in_course(thing: Any) -> tuple[str, str]:
    return thing["uuid"], thing["lesson"]


def of_module(thing: Any) -> tuple[str]:
    return (thing["module"],)


def with_logo(thing: Any) -> tuple[str, str]:
    return thing["uuid"], "logo"


def nobody(thing: Any) -> tuple[()]:
    return ()


COURSE = {"title": "A new course", "description": "A description that says in fifty letters what is taught."}
OWN_COURSE = "401 404 404 404 2xx 2xx 2xx 404"  # drafts are hidden from others
SEEN_COURSE = "401 403 403 403 2xx 2xx 2xx 403"  # published ones can be seen, not changed
OWN_MEDIA = "401 403 404 404 2xx 2xx 2xx 403"  # other teachers do not see it
OWN_UPLOAD = "401 403 404 404 404 404 2xx 403"  # nobody else goes on with it
TAUGHT = "401 403 404 404 2xx 2xx 2xx 403"
LEARNERS_OWN = "401 404 404 404 2xx 2xx 2xx 2xx"

CATALOG = {
    "catalog_list_all_courses": Row(EVERYBODY),
    "catalog_create_course": Row(TEACHERS, body=COURSE),
    "catalog_list_taught_courses": Row(TEACHERS),
    "catalog_get_course": Row("404 404 404 404 2xx 2xx 2xx 404", things.draft),
    "catalog_change_course": Row(OWN_COURSE, things.draft, body={"title": "Another title"}),
    "catalog_delete_course": Row(OWN_COURSE, things.draft),
    "catalog_publish_course": Row(OWN_COURSE, things.draft),
    "catalog_unpublish_course": Row(SEEN_COURSE, things.course),
    "catalog_archive_course": Row(SEEN_COURSE, things.course),
    "catalog_duplicate_course": Row(OWN_COURSE, things.draft),
    "catalog_reorder_course": Row(
        OWN_COURSE,
        things.draft,
        body=lambda w, t: {"modules": [{"uuid": t["module"], "lessons": [t["lesson"]]}]},
    ),
    "catalog_get_instructors": Row(EVERYBODY, things.course),
    "catalog_set_instructors": Row(OWN_COURSE, things.draft, body={"instructors": []}),
    "catalog_get_prerequisites": Row(EVERYBODY, things.course),
    "catalog_set_prerequisites": Row(OWN_COURSE, things.draft, body={"prerequisites": []}),
    "catalog_list_lessons": Row(EVERYBODY, things.seat),
    "catalog_create_lesson": Row(
        OWN_COURSE,
        things.draft,
        body=lambda w, t: {"module": t["module"], "title": "Next", "content_type": "text"},
    ),
    "catalog_get_lesson": Row(EVERYBODY, things.seat, in_course),  # the outline; the body for the enrolled
    "catalog_change_lesson": Row(OWN_COURSE, things.draft, in_course, body={"title": "Other"}),
    "catalog_remove_lesson": Row(OWN_COURSE, things.draft, in_course),
    "catalog_upload_lesson_file": Row(
        OWN_COURSE, things.draft, in_course, files={"file": ("dot.png", PNG, "image/png")}
    ),
    "catalog_list_modules": Row(
        "404 404 404 404 2xx 2xx 2xx 404", things.draft, nobody, query=lambda t: f"?course={t['uuid']}"
    ),
    "catalog_create_module": Row(
        OWN_COURSE, things.draft, nobody, body=lambda w, t: {"course": t["uuid"], "title": "Two"}
    ),
    "catalog_get_module": Row("404 404 404 404 2xx 2xx 2xx 404", things.draft, of_module),
    "catalog_change_module": Row(OWN_COURSE, things.draft, of_module, body={"title": "Other"}),
    "catalog_remove_module": Row(OWN_COURSE, things.draft, of_module),
    "catalog_list_categories": Row(EVERYBODY),
    "catalog_create_category": Row(MANAGERS, body=lambda w, t: {"name": f"Subject {w.name()}"}),
    "catalog_get_category": Row(EVERYBODY, things.category),
    "catalog_change_category": Row(MANAGERS, things.category, body={"description": "All of it."}),
    "catalog_delete_category": Row(MANAGERS, things.category),
    "catalog_list_tags": Row(EVERYBODY),
    "catalog_upload_thumbnail": Row(
        OWN_COURSE, things.draft, files={"thumbnail": ("dot.png", PNG, "image/png")}
    ),
    "catalog_list_own_media": Row(TEACHERS),
    "catalog_upload_media": Row(TEACHERS, files={"file": ("dot.png", PNG, "image/png")}),
    "catalog_begin_upload": Row(TEACHERS, body={"name": "notes.txt", "length": 11}),
    "catalog_get_upload": Row(OWN_UPLOAD, things.upload),
    "catalog_append_part": Row(
        OWN_UPLOAD, things.upload, raw={"content": b"Some ", "headers": {"Upload-Offset": "0"}}
    ),
    "catalog_finish_upload": Row(OWN_UPLOAD, things.whole_upload),
    "catalog_drop_upload": Row(OWN_UPLOAD, things.upload),
    "catalog_get_media": Row(OWN_MEDIA, things.media),
    "catalog_change_media": Row(OWN_MEDIA, things.media, body={"title": "Other"}),
    "catalog_delete_media": Row(OWN_MEDIA, things.media),
    "catalog_download_media": Row(OWN_MEDIA, things.media, query="?redirect=false"),
    "catalog_replace_media_file": Row(OWN_MEDIA, things.media, files={"file": ("dot.png", PNG, "image/png")}),
    "catalog_list_course_reviews": Row(EVERYBODY, things.course),
    "catalog_list_all_reviews": Row(EVERYBODY, things.course, nobody, query=lambda t: f"?course={t['uuid']}"),
    "catalog_post_review": Row(
        "401 403 403 403 403 403 2xx 403",
        things.seat,
        nobody,
        body=lambda w, t: {"course": t["uuid"], "rating": 5},
        learner=True,
    ),
    "catalog_change_review": Row(
        "401 403 403 403 403 403 2xx 403", things.review, body={"rating": 4}, learner=True
    ),
    "catalog_remove_review": Row("401 403 403 2xx 2xx 2xx 2xx 403", things.review, learner=True),
    "catalog_toggle_helpful": Row("401 2xx 2xx 2xx 2xx 2xx 403 2xx", things.review, learner=True),
    "catalog_list_my_favorites": Row(SIGNED_IN),
    "catalog_get_is_favorite": Row(SIGNED_IN, things.course),
    "catalog_add_to_favorites": Row(SIGNED_IN, things.course),
    "catalog_remove_from_favorites": Row(SIGNED_IN, things.course),
}

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
    "learning_get_lesson_notes": Row("401 403 403 403 403 403 2xx 403", things.seat, in_course, learner=True),
    "learning_save_lesson_notes": Row(
        "401 403 403 403 403 403 2xx 403", things.seat, in_course, body={"notes": "Mine."}, learner=True
    ),
    "learning_start_attempt": Row("401 404 404 404 403 403 2xx 403", things.published_quiz, learner=True),
    "learning_list_attempts": Row("401 404 404 404 2xx 2xx 2xx 2xx", things.published_quiz),
    "learning_get_attempt": Row(LEARNERS_OWN, things.attempt, learner=True),
    "learning_save_answer": Row(
        "401 404 404 404 404 404 2xx 404",
        things.attempt,
        lambda t: (t["uuid"], t["question"]),
        body={"answer": True},
        learner=True,
    ),
    "learning_submit_attempt": Row("401 404 404 404 404 404 2xx 404", things.attempt, learner=True),
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

IN_FORUM = "401 404 404 2xx 2xx 2xx 2xx 2xx"
MODERATORS = "401 404 404 2xx 2xx 2xx 2xx 403"
AUTHOR = "401 404 404 403 403 403 2xx 403"

FORUM = {
    "forum_list_forums": Row(SIGNED_IN),
    "forum_create_forum": Row(MANAGERS, body=lambda w, t: {"title": f"Café {w.name()}"}),
    "forum_get_forum": Row(IN_FORUM, things.seat, lambda t: (t["forum"],)),
    "forum_list_discussions": Row(SIGNED_IN),
    "forum_start_discussion": Row(
        IN_FORUM,
        things.seat,
        nobody,
        body=lambda w, t: {"forum": t["forum"], "title": "Why?", "content": "I wonder."},
    ),
    "forum_get_discussion": Row(IN_FORUM, things.discussion),
    "forum_change_discussion": Row(AUTHOR, things.discussion, body={"title": "How?"}, learner=True),
    "forum_delete_discussion": Row(IN_FORUM, things.discussion, learner=True),
    "forum_pin_discussion": Row(MODERATORS, things.discussion, body={"is_pinned": True}),
    "forum_lock_discussion": Row(MODERATORS, things.discussion, body={"is_locked": True}),
    "forum_resolve_discussion": Row(IN_FORUM, things.discussion, body={"is_resolved": True}, learner=True),
    "forum_follow_discussion": Row(IN_FORUM, things.discussion, body={"is_following": True}),
    "forum_move_discussion": Row(
        "401 404 404 2xx 2xx 2xx 403 403",
        things.discussion,
        body=lambda w, t: {"forum": w.shared["platform_forum"]["uuid"]},
    ),
    "forum_flag_discussion": Row(IN_FORUM, things.discussion, body={"reason": "Off topic"}),
    "forum_list_replies": Row(
        IN_FORUM, things.reply, nobody, query=lambda t: f"?discussion={t['discussion']}"
    ),
    "forum_post_reply": Row(
        IN_FORUM,
        things.discussion,
        nobody,
        body=lambda w, t: {"discussion": t["uuid"], "content": "So it is."},
    ),
    "forum_get_reply": Row(IN_FORUM, things.reply),
    "forum_change_reply": Row(AUTHOR, things.reply, body={"content": "Because of it."}, learner=True),
    "forum_delete_reply": Row(IN_FORUM, things.reply, learner=True),
    "forum_upvote_reply": Row("401 404 404 2xx 2xx 2xx 2xx 403", things.reply),
    "forum_mark_solution": Row(IN_FORUM, things.reply, learner=True),
    "forum_flag_reply": Row(IN_FORUM, things.reply, body={"reason": "Off topic"}),
    "forum_list_flagged_posts": Row(TEACHERS),
    "forum_resolve_flagged_post": Row(
        "401 403 404 2xx 2xx 2xx 2xx 403", things.flagged, body={"action": "dismiss"}
    ),
    "forum_restore_post": Row("401 403 404 2xx 2xx 2xx 2xx 403", things.deleted_post, body={}),
}

ANALYTICS = {
    "analytics_get_student_analytics": Row(SIGNED_IN),
    "analytics_get_teacher_analytics": Row(TEACHERS),
    "analytics_get_platform_analytics": Row(MANAGERS),
    "analytics_get_dashboard": Row(SIGNED_IN),
    "analytics_get_dashboard_summary": Row(MANAGERS),
    "analytics_get_course_analytics": Row("401 403 404 404 2xx 2xx 2xx 403", things.seat),
    "analytics_list_activities": Row(SIGNED_IN),
}

NOTIFY = {
    "notify_make_socket_ticket": Row(SIGNED_IN),
    "notify_list_notifications": Row(SIGNED_IN),
    "notify_get_unread_count": Row(SIGNED_IN),
    "notify_mark_all_notifications_read": Row(SIGNED_IN),
    "notify_change_notification": Row(
        "401 404 404 404 404 404 2xx 404", things.notification, body={"is_read": True}, learner=True
    ),
    "notify_delete_notification": Row("401 404 404 404 404 404 2xx 404", things.notification, learner=True),
}

TICKET = "401 404 404 2xx 2xx 2xx 2xx 404"
STAFF = "401 404 404 2xx 2xx 2xx 403 404"

SUPPORT = {
    "support_list_tickets": Row(SIGNED_IN),
    "support_open_ticket": Row(
        SIGNED_IN, body={"subject": "It does not play", "description": "The video stays black all day."}
    ),
    "support_get_ticket": Row(TICKET, things.ticket, learner=True),
    "support_add_ticket_message": Row(TICKET, things.ticket, body={"content": "More."}, learner=True),
    "support_assign_ticket": Row(
        STAFF, things.ticket, body=lambda w, t: {"user": w.moderator.uuid}, learner=True
    ),
    "support_change_ticket_status": Row(TICKET, things.ticket, body={"status": "closed"}, learner=True),
    "support_change_ticket_priority": Row(STAFF, things.ticket, body={"priority": "high"}, learner=True),
    "support_reopen_ticket": Row(TICKET, things.resolved_ticket, learner=True),
    "support_rate_ticket": Row(
        "401 404 404 403 403 403 2xx 404", things.resolved_ticket, body={"rating": 5}, learner=True
    ),
}

IDENTITY = {
    "identity_register": Row(
        EVERYBODY,
        body=lambda w, t: {
            "email": f"{w.name()}@lectern.example",
            "password": PASSWORD,
            "first_name": "New",
            "last_name": "Person",
            "role": "student",
        },
    ),
    "identity_verify_email": Row(
        WRONG_CODE, body={"email": "nobody@lectern.example", "verification_code": "000000"}
    ),
    "identity_reset_password": Row(
        WRONG_CODE,
        body={
            "email": "nobody@lectern.example",
            "reset_code": "000000",
            "new_password": PASSWORD,
            "confirm_password": PASSWORD,
        },
    ),
    "identity_refresh_tokens": Row(EVERYBODY, things.login, nobody, body=lambda w, t: {"refresh": t.refresh}),
    "identity_logout": Row(SIGNED_IN, body={}, login_again=True),
    "identity_change_password": Row(
        SIGNED_IN,
        body={"current_password": PASSWORD, "new_password": PASSWORD, "confirm_password": PASSWORD},
        login_again=True,
    ),
    "identity_end_my_session": Row("401 404 404 404 404 404 2xx 404", things.session, login_again=True),
    "identity_resend_verification": Row(EVERYBODY, body={"email": "nobody@lectern.example"}),
    "identity_ask_for_password_reset": Row(EVERYBODY, body={"email": "nobody@lectern.example"}),
    "identity_login": Row(EVERYBODY, body=lambda w, t: {"email": w.student.email, "password": PASSWORD}),
    "identity_get_me": Row(SIGNED_IN),
    "identity_change_me": Row(SIGNED_IN, body={"bio": "Curious."}),
    "identity_list_my_sessions": Row(SIGNED_IN),
    "identity_list_my_activity": Row(SIGNED_IN),
    "identity_list_users": Row(MANAGERS),
    "identity_get_user": Row(EVERYBODY, things.card),  # a teacher's public card
    "identity_change_user": Row(MANAGERS, things.person, body={"is_active": False}),
    "identity_get_jwks": Row(EVERYBODY),
    "identity_export_me": Row(SIGNED_IN),
    "identity_change_my_avatar": Row(SIGNED_IN, files={"avatar": ("dot.png", PNG, "image/png")}),
    "identity_remove_my_avatar": Row(SIGNED_IN),
    "identity_enrol_authenticator": Row(SIGNED_IN),
    "identity_confirm_authenticator": Row(
        "401 422 422 422 422 422 422 422", body={"otp": "wrong"}, before=things.enrol
    ),
    "identity_disable_second_factor": Row(NOT_ENABLED, body={"password": PASSWORD, "otp": "000000"}),
    "identity_renew_recovery_codes": Row(NOT_ENABLED, body={"password": PASSWORD, "otp": "000000"}),
    "identity_erase_me": Row("401 422 422 422 422 422 422 422", body={"password": "Not-the-password-1"}),
    "identity_erase_user": Row(MANAGERS, things.person),
    "identity_get_job": Row("401 404 404 404 404 404 2xx 404", things.export),
    "identity_cancel_job": Row("401 404 404 404 404 404 2xx 404", things.export),
}

MATRIX: dict[str, Row] = CATALOG | LEARNING | FORUM | ANALYTICS | NOTIFY | SUPPORT | IDENTITY
