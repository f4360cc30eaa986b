"""What people are told: kinds of notifications, their texts, and those that are mailed."""

import re
from dataclasses import dataclass
from pathlib import Path

from libs.common.files.letters import Letter
from libs.common.runtime.mail import unlinked
from libs.common.runtime.mail_texts import N_, Mail, Translations, make_mail

TRANSLATIONS = Translations(Path(__file__).with_name("locale"))

TYPES = (
    "enrollment", "course_update", "lesson_available", "assignment_due", "quiz_result", "grade",
    "certificate_ready", "forum_reply", "mention", "announcement", "ticket", "system",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Something that people are told: the type that clients filter by, and the words."""

    type: str
    title: str
    message: str
    mailed: bool = False


# What happened → how it is told. `what` is the title of a quiz or an assignment, or the number of a
# certificate or ticket. What stands in brackets is left out where one of its values is not known.
KINDS = {
    "enrollment": Kind(
        "enrollment",
        N_("You are enrolled[: {course}]"),
        N_("Welcome to {course}. Enjoy the first lesson."),
        mailed=True,
    ),
    "certificate_ready": Kind(
        "certificate_ready",
        N_("Your certificate is ready[: {course}]"),
        N_("You have completed {course}. Congratulations!"),
        mailed=True,
    ),
    "certificate_revoked": Kind(
        "system",
        N_("A certificate was revoked[: {course}]"),
        N_("Certificate {what}[ of {course}] is no longer valid."),
    ),
    "quiz_result": Kind(
        "quiz_result",
        N_("Your quiz “{what}” is graded"),
        N_("The result of “{what}”[ in {course}] is there."),
    ),
    "grade": Kind(
        "grade",
        N_("Your assignment “{what}” is graded"),
        N_("The grade of “{what}”[ in {course}] is there."),
    ),
    "forum_reply": Kind(
        "forum_reply",
        N_("{who} replied in {discussion}"),
        N_("{who} has replied to your post in {discussion}[ ({course})]."),
    ),
    "solution": Kind(
        "forum_reply",
        N_("Your reply in {discussion} is the solution"),
        N_("{who} has marked your reply in {discussion} as the solution[ ({course})]."),
    ),
    "mention": Kind(
        "mention",
        N_("{who} mentioned you in {discussion}"),
        N_("{who} has mentioned you in {discussion}[ ({course})]."),
    ),
    "ticket_answered": Kind(
        "ticket",
        N_("{who} answered on ticket {what}"),
        N_("There is a new message[ from {who}] on ticket {what}."),
    ),
    "ticket_assigned": Kind(
        "ticket",
        N_("Ticket {what} is yours"),
        N_("Ticket {what} was assigned to you[ by {who}]."),
    ),
    "ticket_resolved": Kind(
        "ticket",
        N_("Ticket {what} is resolved"),
        N_("Ticket {what} was resolved[ by {who}]."),
    ),
    "report": Kind(
        "system",
        N_("A report is ready"),
        N_("A report was sent to you by mail."),
        mailed=True,
    ),
}
QUOTED = N_("“{}”")
UNKNOWN = {"who": N_("Somebody"), "discussion": N_("a discussion"), "course": N_("your course"), "what": ""}
GREETING, OPEN = N_("Hello {name},"), N_("Open it here:")
REPORT, FILE = N_("Here is the report “{title}”."), N_("The file, for seven days:")
_OPTIONAL = re.compile(r"\[([^]]*)\]")
_NAME = re.compile(r"\{(\w+)\}")


def title_and_message(text: str, language: str, **facts: str) -> tuple[str, str]:
    """What happened (`text`) with `who`, `what`, `discussion` and `course`, as far as they are known.

    The values stand in it as they were written.
    """
    translate = TRANSLATIONS.translate
    known = {name: value for name, value in facts.items() if value}
    if "discussion" in known:
        known["discussion"] = translate(QUOTED, language).format(known["discussion"])
    values = {name: value and translate(value, language) for name, value in UNKNOWN.items()} | known

    def fill(message: str) -> str:
        template = _OPTIONAL.sub(
            lambda part: part[1] if set(_NAME.findall(part[1])) <= set(known) else "",
            translate(message, language),
        )
        return template.format(**values)

    kind = KINDS[text]
    return fill(kind.title), fill(kind.message)


def make_report(letter: Letter, *, name: str) -> Mail:
    """The mail with a report, in the language of the report."""
    language = TRANSLATIONS.nearest(letter.language)
    title = unlinked(letter.title)
    lines = [
        TRANSLATIONS.translate(GREETING, language).format(name=name),
        TRANSLATIONS.translate(REPORT, language).format(title=title),
    ]
    if letter.link:
        lines += [TRANSLATIONS.translate(FILE, language), letter.link]
    body = "\n\n".join(lines) + "\n"
    return make_mail(language, title, body, link=letter.link, report=(letter.html, letter.text))


def make_letter(text: str, locale: str | None, *, name: str, course: str, url: str) -> Mail:
    """The mail about `text`, in the nearest language there is."""
    language = TRANSLATIONS.nearest(locale)
    title, message = title_and_message(text, language, course=course)
    greeting = TRANSLATIONS.translate(GREETING, language).format(name=name)
    body = f"{greeting}\n\n{message}\n\n{TRANSLATIONS.translate(OPEN, language)}\n\n{url}\n"
    return make_mail(language, title, body, link=url)
