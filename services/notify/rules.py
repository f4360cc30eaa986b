"""Texts of notifications and mails, and which of them are mailed. English and Arabic to begin with."""

from dataclasses import dataclass
from html import escape

TYPES = (
    "enrollment", "course_update", "lesson_available", "assignment_due", "quiz_result", "grade",
    "certificate_ready", "forum_reply", "mention", "announcement", "ticket", "system",
)  # fmt: skip
LANGUAGES = ("en", "ar")
STAFF = ("moderator", "manager", "admin")
MAILED = frozenset({"enrollment", "certificate_ready"})


@dataclass(frozen=True)
class Letter:
    subject: str
    text: str
    html: str


# (what happened, language) → title and message; `what` is the title of a course, quiz or assignment, or the
# number of a certificate or ticket.
TEXTS = {
    ("enrollment", "en"): ("You are enrolled", "Welcome to {what}. Enjoy the first lesson."),
    ("enrollment", "ar"): ("تم تسجيلك", "مرحبًا بك في {what}. نتمنى لك درسًا أول ممتعًا."),
    ("certificate_ready", "en"): ("Your certificate is ready", "You have completed {what}. Congratulations!"),
    ("certificate_ready", "ar"): ("شهادتك جاهزة", "لقد أكملت {what}. تهانينا!"),
    ("certificate_revoked", "en"): ("A certificate was revoked", "Certificate {what} is no longer valid."),
    ("certificate_revoked", "ar"): ("أُلغيت شهادة", "لم تعد الشهادة {what} صالحة."),
    ("quiz_result", "en"): ("Your quiz is graded", "The result of {what} is there."),
    ("quiz_result", "ar"): ("تم تصحيح اختبارك", "نتيجة {what} متاحة الآن."),
    ("grade", "en"): ("Your assignment is graded", "The grade of {what} is there."),
    ("grade", "ar"): ("تم تقييم واجبك", "درجة {what} متاحة الآن."),
    ("forum_reply", "en"): ("New reply", "Somebody has replied to your post in {what}."),
    ("forum_reply", "ar"): ("رد جديد", "ردّ شخص على مشاركتك في {what}."),
    ("solution", "en"): ("Your reply is the solution", "Your reply in {what} was marked as the solution."),
    ("solution", "ar"): ("ردك هو الحل", "تم اختيار ردك في {what} كحل."),
    ("mention", "en"): ("You were mentioned", "Somebody has mentioned you in {what}."),
    ("mention", "ar"): ("تمت الإشارة إليك", "أشار إليك شخص في {what}."),
    ("ticket_answered", "en"): ("New answer to your ticket", "There is a new message on ticket {what}."),
    ("ticket_answered", "ar"): ("رد جديد على تذكرتك", "هناك رسالة جديدة على التذكرة {what}."),
    ("ticket_assigned", "en"): ("A ticket is yours", "Ticket {what} was assigned to you."),
    ("ticket_assigned", "ar"): ("أُسندت إليك تذكرة", "أُسندت إليك التذكرة {what}."),
    ("ticket_resolved", "en"): ("Your ticket is resolved", "Ticket {what} is resolved."),
    ("ticket_resolved", "ar"): ("تم حل تذكرتك", "تم حل التذكرة {what}."),
}
FALLBACK = {"en": "your course", "ar": "مقررك"}
GREETING = {"en": "Hello {name},", "ar": "مرحبًا {name}،"}
OPEN = {"en": "Open it here:", "ar": "افتحه هنا:"}


def language_of(locale: str | None) -> str:
    """The nearest language there is."""
    language = (locale or "en").partition("-")[0].lower()
    return language if language in LANGUAGES else "en"


def words(text: str, locale: str | None, what: str) -> tuple[str, str]:
    """Title and message in the reader's language."""
    language = language_of(locale)
    title, message = TEXTS[text, language]
    return title, message.format(what=what or FALLBACK[language])


def letter(text: str, locale: str | None, *, name: str, what: str, url: str) -> Letter:
    """A mail in text and HTML."""
    language = language_of(locale)
    title, message = words(text, locale, what)
    greeting = GREETING[language].format(name=name)
    plain = f"{greeting}\n\n{message}\n\n{OPEN[language]} {url}\n"
    direction = "rtl" if language == "ar" else "ltr"
    html = (
        f'<!doctype html><html lang="{language}" dir="{direction}"><body style="font-family:sans-serif">'
        f"<h1>{escape(title)}</h1><p>{escape(greeting)}</p><p>{escape(message)}</p>"
        f'<p>{escape(OPEN[language])} <a href="{escape(url)}">{escape(url)}</a></p></body></html>'
    )
    return Letter(f"{title}: {what}" if what else title, plain, html)
