"""Who may call what: one row for each operation of the merged OpenAPI document."""

from typing import Any

from tests.security import world as things
from tests.security.matrix_learning import LEARNING
from tests.security.matrix_operations import OPERATIONS
from tests.security.row import (
    COURSE,
    EVERYBODY,
    MANAGERS,
    NOT_ENABLED,
    OWN_COURSE,
    OWN_MEDIA,
    OWN_UPLOAD,
    PNG,
    SEEN_COURSE,
    SIGNED_IN,
    TEACHERS,
    WRONG_CODE,
    Row,
    in_course,
    nobody,
    of_module,
)
from tests.security.world import World
from tests.support import PASSWORD

OWN_EXPORT = "401 403 404 404 404 404 2xx 403"

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
    "catalog_get_instructors": Row(SEEN_COURSE, things.course),
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
    "catalog_create_tag": Row(MANAGERS, body=lambda w, t: {"name": f"Word {w.name()}"}),
    "catalog_change_tag": Row(MANAGERS, things.tag, body=lambda w, t: {"name": f"Word {w.name()}"}),
    "catalog_delete_tag": Row(MANAGERS, things.tag),
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


async def one_report(world: World) -> Any:
    return await world.once(things.report)


async def one_run(world: World) -> Any:
    return await world.once(things.run)


ANALYTICS = {
    "analytics_get_student_analytics": Row(SIGNED_IN),
    "analytics_get_teacher_analytics": Row(TEACHERS),
    "analytics_get_platform_analytics": Row(MANAGERS),
    "analytics_get_dashboard": Row(SIGNED_IN),
    "analytics_get_dashboard_summary": Row("401 403 403 2xx 2xx 2xx 403 403"),
    "analytics_get_course_analytics": Row("401 403 404 404 2xx 2xx 2xx 403", things.seat),
    "analytics_list_activities": Row(SIGNED_IN),
    "analytics_list_metrics": Row(SIGNED_IN),
    "analytics_run_query": Row(TEACHERS, body={"measures": ["enrollments.count"]}),
    "analytics_create_export": Row(TEACHERS, body={"query": {"measures": ["enrollments.count"]}}),
    "analytics_list_exports": Row(TEACHERS),
    "analytics_get_export": Row(OWN_EXPORT, things.numbers),
    "analytics_get_job": Row(OWN_EXPORT, things.numbers),
    "analytics_cancel_job": Row(OWN_EXPORT, things.numbers),
    "analytics_create_report": Row(TEACHERS, body=things.weekly),
    "analytics_list_reports": Row(TEACHERS),
    "analytics_get_report": Row(OWN_EXPORT, one_report),
    "analytics_change_report": Row(OWN_EXPORT, one_report, body={"name": "Monthly"}),
    "analytics_delete_report": Row(OWN_EXPORT, things.report),
    "analytics_start_run": Row(OWN_EXPORT, one_report),
    "analytics_list_runs": Row(OWN_EXPORT, one_report),
    "analytics_get_run": Row(OWN_EXPORT, one_run, lambda t: (t["report"], t["uuid"])),
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
    "support_get_status_history": Row(EVERYBODY),
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

MATRIX: dict[str, Row] = CATALOG | LEARNING | FORUM | ANALYTICS | NOTIFY | SUPPORT | IDENTITY | OPERATIONS
