"""Notifications name who and what, as it was written, in the reader's language; no longer than they may."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Record
from libs.common.events import forum, learning, quizzes, support
from libs.common.testing.harness import Person, as_record
from libs.common.testing.privacy import erase, tables_with
from services.notify.kinds import KINDS, TRANSLATIONS, title_and_message
from services.notify.tests.conftest import Scene, course_state, user_state

DISCUSSION = uuid4()


def titled(scene: Scene, title: str, uuid: UUID = DISCUSSION) -> forum.DiscussionState:
    return forum.DiscussionState(
        uuid=uuid, forum=uuid4(), course=scene.course, author=scene.ada.uuid, title=title,
        discussion_type="question",
    )  # fmt: skip


def posted(scene: Scene, author: Person, to: Person, **fields: Any) -> forum.ReplyPosted:
    values: dict[str, Any] = dict(
        reply=uuid4(), discussion=DISCUSSION, forum=uuid4(), course=scene.course, author=author.uuid,
        discussion_author=to.uuid, parent=None, parent_author=None, is_chat=False, is_instructor_reply=False,
        mentions=(),
    )  # fmt: skip
    return forum.ReplyPosted(**values | fields)


async def texts(person: Person) -> list[tuple[str, str]]:
    """Title and message of their notifications, oldest first."""
    rows = (await person.client.get("/api/core/notifications/")).json()["results"]
    return [(row["title"], row["message"]) for row in reversed(rows)]


async def test_a_reply_names_its_author_and_the_discussion(scene: Scene):
    await scene.service.deliver(titled(scene, "Week 2"), posted(scene, scene.eve, scene.ada))
    assert await texts(scene.ada) == [
        ("Eve L replied in “Week 2”", "Eve L has replied to your post in “Week 2” (Algebra).")
    ]
    await scene.service.deliver(posted(scene, scene.ada, scene.eve))
    assert await texts(scene.eve) == [
        ("رد من Ada L في «Week 2»", "رد من Ada L على مشاركتك في «Week 2» (Algebra).")
    ]


@pytest.mark.parametrize("locale", ["fr", "en-GB", "xx", ""])
async def test_an_unknown_language_is_english(scene: Scene, locale: str):
    await scene.service.deliver(
        user_state(scene.ada.uuid, "Ada", locale), posted(scene, scene.eve, scene.ada)
    )
    assert (await texts(scene.ada))[0][0] == "Eve L replied in a discussion"


async def test_mentions_and_solutions_name_who_and_where(scene: Scene):
    facts: dict[str, Any] = dict(discussion=DISCUSSION, forum=uuid4(), course=None)
    await scene.service.deliver(
        titled(scene, "Week 2"),
        forum.DiscussionStarted(
            **facts, author=scene.eve.uuid, discussion_type="question", mentions=(scene.ada.uuid,)
        ),
        posted(scene, scene.eve, scene.eve, mentions=(scene.ada.uuid,)),
        forum.SolutionMarked(
            **facts, reply=uuid4(), author=scene.ada.uuid, discussion_author=scene.eve.uuid,
            actor=scene.eve.uuid,
        ),
    )  # fmt: skip
    assert sorted(await texts(scene.ada)) == sorted(
        [
            ("Eve L mentioned you in “Week 2”", "Eve L has mentioned you in “Week 2”."),
            ("Eve L mentioned you in “Week 2”", "Eve L has mentioned you in “Week 2” (Algebra)."),
            (
                "Your reply in “Week 2” is the solution",
                "Eve L has marked your reply in “Week 2” as the solution.",
            ),
        ]
    )


async def test_results_and_certificates_name_the_work_and_the_course(scene: Scene):
    place: dict[str, Any] = dict(course=scene.course, enrollment=uuid4(), student=scene.ada.uuid)
    await scene.service.deliver(
        quizzes.QuizGraded(
            **place, attempt=uuid4(), number=1, quiz=uuid4(), kind="graded", title="Trees [1] {x}",
            lesson=None, score=1, max_score=2, percentage=50, passed=False, is_regrade=False,
            score_visible=True, questions=(),
        ),
        learning.CertificateRevoked(**place, certificate=uuid4(), number="CERT-1", actor=uuid4()),
        learning.StudentEnrolled(**place),
    )  # fmt: skip
    assert sorted(await texts(scene.ada)) == [
        ("A certificate was revoked: Algebra", "Certificate CERT-1 of Algebra is no longer valid."),
        ("You are enrolled: Algebra", "Welcome to Algebra. Enjoy the first lesson."),
        ("Your quiz “Trees [1] {x}” is graded", "The result of “Trees [1] {x}” in Algebra is there."),
    ]


async def test_tickets_name_their_number_and_who_acted_if_anybody_did(scene: Scene):
    facts: dict[str, Any] = dict(
        ticket=uuid4(), number="T-1", requester=scene.ada.uuid, assigned_to=None, course=None, category="x",
        priority="low", status="open",
    )  # fmt: skip
    answered = support.TicketAnswered(
        **facts, actor=scene.eve.uuid, message=uuid4(), author=scene.eve.uuid, is_internal=False,
        by_staff=True, is_first_response=True,
    )  # fmt: skip
    resolved = support.TicketResolved(**facts, actor=None)
    staff = facts | {"assigned_to": scene.eve.uuid, "requester": uuid4()}
    await scene.service.deliver(
        user_state(scene.eve.uuid, "Eve").model_copy(update={"role": "moderator"}),
        answered,
        resolved,
        support.TicketAssigned(**staff, actor=scene.ada.uuid, previous=None),
    )
    assert sorted(await texts(scene.ada)) == [
        ("Eve L answered on ticket T-1", "There is a new message from Eve L on ticket T-1."),
        ("Ticket T-1 is resolved", "Ticket T-1 was resolved."),
    ]
    assert await texts(scene.eve) == [("Ticket T-1 is yours", "Ticket T-1 was assigned to you by Ada L.")]


@pytest.mark.parametrize(
    "text",
    ["List<String> & ask <me@x.org>", "a<b", "{who} {0} [x] %s", "مرحبا 🙂", "evil.example/login", "“x”"],
)
async def test_names_and_titles_stand_in_it_as_they_were_written(scene: Scene, text: str):
    named = user_state(scene.eve.uuid, "Eve").model_copy(update={"full_name": text})
    await scene.service.deliver(
        named, titled(scene, text), course_state(scene.course, text), posted(scene, scene.eve, scene.ada)
    )
    assert await texts(scene.ada) == [
        (f"{text} replied in “{text}”", f"{text} has replied to your post in “{text}” ({text}).")
    ]


async def test_a_title_that_comes_later_is_put_in_and_a_deleted_one_goes(scene: Scene):
    await scene.service.deliver(posted(scene, scene.eve, scene.ada))
    assert (await texts(scene.ada))[0][0] == "Eve L replied in a discussion"
    await scene.service.deliver((titled(scene, "Week 2"), 1))
    assert (await texts(scene.ada))[0][0] == "Eve L replied in “Week 2”"
    await scene.service.deliver((titled(scene, "Week two"), 2))  # what was told, was told
    assert (await texts(scene.ada))[0][0] == "Eve L replied in “Week 2”"
    gone = as_record(titled(scene, ""), 3)
    tombstone = Record(gone.topic, gone.key, None, gone.headers)
    await apply_batch(scene.service.db, scene.service.subscription, [tombstone])
    assert (await texts(scene.ada))[0] == (
        "Eve L replied in a discussion", "Eve L has replied to your post in a discussion (Algebra).",
    )  # fmt: skip
    assert await tables_with(scene.service, "week") == set()


@pytest.mark.parametrize("tombstone_first", [True, False])
async def test_an_erased_persons_name_goes_from_what_others_were_told(scene: Scene, tombstone_first: bool):
    await scene.service.deliver(
        user_state(scene.eve.uuid, "Canary"), titled(scene, "Week 2"), posted(scene, scene.eve, scene.ada)
    )
    assert "Canary L" in (await texts(scene.ada))[0][0]
    await erase(scene.service, scene.eve.uuid, tombstone_first=tombstone_first)
    await scene.service.deliver(posted(scene, scene.eve, scene.ada))  # a late fact
    assert [title for title, _ in await texts(scene.ada)] == ["Somebody replied in “Week 2”"] * 2
    assert await tables_with(scene.service, "canary") == set()


def test_every_text_is_there_in_every_language_and_whole_without_any_fact():
    for text in KINDS:
        for language in TRANSLATIONS.languages:
            facts = dict.fromkeys(("who", "what", "discussion", "course"), "")
            for part in (*title_and_message(text, language), *title_and_message(text, language, **facts)):
                assert part.strip()
                assert not set("{}[]") & set(part)
            full = dict(who="WHO", what="WHAT", discussion="WHERE", course="COURSE")
            said = " ".join(title_and_message(text, language, **full))
            template = KINDS[text].title + KINDS[text].message
            for name, value in full.items():
                assert value in said or f"{{{name}}}" not in template
