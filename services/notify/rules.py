"""Texts of notifications and mails, and which of them are mailed. English and Arabic to begin with."""

import re
from dataclasses import dataclass
from html import escape

TYPES = (
    "enrollment", "course_update", "lesson_available", "assignment_due", "quiz_result", "grade",
    "certificate_ready", "forum_reply", "mention", "announcement", "ticket", "system",
)  # fmt: skip
LANGUAGES = ("en", "ar")
MAILED = frozenset({"enrollment", "certificate_ready"})


@dataclass(frozen=True)
class Letter:
    subject: str
    text: str
    html: str


# (what happened, language) → title and message. `what` is the title of a quiz or an assignment, or the number
# of a certificate or ticket. What stands in brackets is left out where one of its values is not known.
TEXTS = {
    ("enrollment", "en"): ("You are enrolled[: {course}]", "Welcome to {course}. Enjoy the first lesson."),
    ("enrollment", "ar"): ("تم تسجيلك[: {course}]", "مرحبًا بك في {course}. نتمنى لك درسًا أول ممتعًا."),
    ("certificate_ready", "en"): (
        "Your certificate is ready[: {course}]",
        "You have completed {course}. Congratulations!",
    ),
    ("certificate_ready", "ar"): ("شهادتك جاهزة[: {course}]", "لقد أكملت {course}. تهانينا!"),
    ("certificate_revoked", "en"): (
        "A certificate was revoked[: {course}]",
        "Certificate {what}[ of {course}] is no longer valid.",
    ),
    ("certificate_revoked", "ar"): ("أُلغيت شهادة[: {course}]", "لم تعد الشهادة {what}[ في {course}] صالحة."),
    ("quiz_result", "en"): ("Your quiz “{what}” is graded", "The result of “{what}”[ in {course}] is there."),
    ("quiz_result", "ar"): ("تم تصحيح اختبارك «{what}»", "نتيجة «{what}»[ في {course}] متاحة الآن."),
    ("grade", "en"): ("Your assignment “{what}” is graded", "The grade of “{what}”[ in {course}] is there."),
    ("grade", "ar"): ("تم تقييم واجبك «{what}»", "درجة «{what}»[ في {course}] متاحة الآن."),
    ("forum_reply", "en"): (
        "{who} replied in {discussion}",
        "{who} has replied to your post in {discussion}[ ({course})].",
    ),
    ("forum_reply", "ar"): (
        "رد من {who} في {discussion}",
        "رد من {who} على مشاركتك في {discussion}[ ({course})].",
    ),
    ("solution", "en"): (
        "Your reply in {discussion} is the solution",
        "{who} has marked your reply in {discussion} as the solution[ ({course})].",
    ),
    ("solution", "ar"): (
        "ردك في {discussion} هو الحل",
        "تم اختيار ردك في {discussion} كحل[ بواسطة {who}][ ({course})].",
    ),
    ("mention", "en"): (
        "{who} mentioned you in {discussion}",
        "{who} has mentioned you in {discussion}[ ({course})].",
    ),
    ("mention", "ar"): (
        "إشارة إليك من {who} في {discussion}",
        "تمت الإشارة إليك من {who} في {discussion}[ ({course})].",
    ),
    ("ticket_answered", "en"): (
        "{who} answered on ticket {what}",
        "There is a new message[ from {who}] on ticket {what}.",
    ),
    ("ticket_answered", "ar"): (
        "رد من {who} على التذكرة {what}",
        "هناك رسالة جديدة[ من {who}] على التذكرة {what}.",
    ),
    ("ticket_assigned", "en"): ("Ticket {what} is yours", "Ticket {what} was assigned to you[ by {who}]."),
    ("ticket_assigned", "ar"): ("أُسندت إليك التذكرة {what}", "أُسندت إليك التذكرة {what}[ بواسطة {who}]."),
    ("ticket_resolved", "en"): ("Ticket {what} is resolved", "Ticket {what} was resolved[ by {who}]."),
    ("ticket_resolved", "ar"): ("تم حل التذكرة {what}", "تم حل التذكرة {what}[ بواسطة {who}]."),
}
QUOTED = {"en": "“{}”", "ar": "«{}»"}
UNKNOWN = {
    "en": {"who": "Somebody", "discussion": "a discussion", "course": "your course", "what": ""},
    "ar": {"who": "شخص ما", "discussion": "نقاش", "course": "مقررك", "what": ""},
}
_OPTIONAL = re.compile(r"\[([^]]*)\]")
_NAME = re.compile(r"\{(\w+)\}")
GREETING = {"en": "Hello {name},", "ar": "مرحبًا {name}،"}
OPEN = {"en": "Open it here:", "ar": "افتحه هنا:"}


def language_of(locale: str | None) -> str:
    """The nearest language there is."""
    language = (locale or "en").partition("-")[0].lower()
    return language if language in LANGUAGES else "en"


def words(text: str, language: str, **facts: str) -> tuple[str, str]:
    """Title and message: what happened (`text`) with `who`, `what`, `discussion` and `course`, as far as they
    are known. The values stand in them as they were written."""
    known = {name: value for name, value in facts.items() if value}
    if "discussion" in known:
        known["discussion"] = QUOTED[language].format(known["discussion"])
    values = UNKNOWN[language] | known

    def whole(template: str) -> str:
        kept = _OPTIONAL.sub(
            lambda part: part[1] if set(_NAME.findall(part[1])) <= set(known) else "", template
        )
        return kept.format(**values)

    title, message = TEXTS[text, language]
    return whole(title), whole(message)


def letter(text: str, locale: str | None, *, name: str, course: str, url: str) -> Letter:
    """A mail in text and HTML."""
    language = language_of(locale)
    title, message = words(text, language, course=course)
    greeting = GREETING[language].format(name=name)
    plain = f"{greeting}\n\n{message}\n\n{OPEN[language]} {url}\n"
    direction = "rtl" if language == "ar" else "ltr"
    html = (
        f'<!doctype html><html lang="{language}" dir="{direction}"><body style="font-family:sans-serif">'
        f"<h1>{escape(title)}</h1><p>{escape(greeting)}</p><p>{escape(message)}</p>"
        f'<p>{escape(OPEN[language])} <a href="{escape(url)}">{escape(url)}</a></p></body></html>'
    )
    return Letter(title, plain, html)
