"""Random histories: late, repeated, taken back, erased. Kept by deltas, folded anew and counted by hand are
the same numbers."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Record
from libs.common.events import forum, learning, quizzes, support
from libs.common.events.forum import DiscussionState
from libs.common.testing.harness import Harness, Person
from libs.common.testing.states import enrollment_state, user_state
from services.analytics import rules
from services.analytics.rebuild import rebuild
from services.analytics.tests.conftest import Story

ZONE = "Asia/Kolkata"
TAKING_PART = ("enrolled", "in_progress", "completed")


class School:
    """Writes a random history into a story and remembers what became of everything."""

    def __init__(self, story: Story, seed: int) -> None:
        self.story, self.random = story, random.Random(seed)
        self.teacher = uuid4()
        self.courses: dict[UUID, list[UUID]] = {uuid4(): [] for _ in range(2)}
        self.users: dict[UUID, datetime] = {}
        self.seats: dict[UUID, dict[str, Any]] = {}
        self.reached: set[tuple[UUID, UUID]] = set()
        self.completed: set[tuple[UUID, UUID]] = set()
        self.active: set[tuple[date, UUID]] = set()
        self.days: set[tuple[UUID, UUID, date]] = set()
        self.attempts: dict[UUID, dict[str, Any]] = {}
        self.seconds: dict[tuple[UUID, UUID], int] = defaultdict(int)
        self.discussions: dict[UUID, dict[str, Any]] = {}
        self.replies: list[tuple[UUID, datetime]] = []
        self.tickets: dict[UUID, dict[str, Any]] = {}
        self.certificates: dict[UUID, bool] = {}

    def ago(self) -> float:
        return self.random.uniform(0, 60)

    def at(self, days_ago: float) -> datetime:
        return self.story.now - timedelta(days=days_ago)

    def write(self, people: int = 5, evenings: int = 40) -> None:
        for course in self.courses:
            self.courses[course] = self.story.course(course, self.teacher, title=f"Course {course}")
        for _ in range(people):
            self._enrol(uuid4())
        for _ in range(evenings):
            self.random.choice((
                self._study, self._lesson, self._quiz, self._regrade, self._leave, self._talk, self._hide,
                self._ticket, self._certify, self._erase, self._withdraw,
            ))()  # fmt: skip

    def _enrol(self, student: UUID) -> None:
        joined = self.ago()
        self.users[student] = self.at(joined)
        self.story.user(student, days_ago=joined)
        for course in self.courses:
            ago = self.ago()
            enrollment = self.story.enrol(student, course, days_ago=ago)
            self._present(student, ago)
            self.seats[enrollment] = {
                "student": student, "course": course, "status": "enrolled", "progress": 0.0, "done": [],
                "enrolled": self.at(ago), "completed": None,
            }  # fmt: skip

    def _present(self, user: UUID, ago: float) -> None:
        self.active.add((self.at(ago).date(), user))

    def _learned(self, seat: dict[str, Any], ago: float) -> None:
        self.days.add((seat["course"], seat["student"], self.at(ago).date()))
        self._present(seat["student"], ago)

    def _seat(self) -> tuple[UUID, dict[str, Any]]:
        return self.random.choice(list(self.seats.items()))

    def _state(self, uuid: UUID, seat: dict[str, Any]) -> None:
        self.story.add(
            enrollment_state(
                seat["course"], seat["student"], seat["status"], uuid=uuid,
                progress_percentage=seat["progress"], completed_lessons=tuple(seat["done"]),
                enrolled_at=seat["enrolled"], completed_at=seat["completed"],
            )
        )  # fmt: skip

    def _study(self) -> None:
        uuid, seat = self._seat()
        ago, seconds = self.ago(), self.random.randrange(1, 61)
        lesson = self.random.choice(self.courses[seat["course"]])
        self.story.add(
            learning.StudyTimeRecorded(
                enrollment=uuid, course=seat["course"], student=seat["student"], lesson=lesson,
                seconds=seconds, local_date=self.at(ago).date(),
            ),
            days_ago=ago,
        )  # fmt: skip
        self.seconds[seat["course"], seat["student"]] += seconds
        self.reached.add((uuid, lesson))
        self._learned(seat, ago)

    def _lesson(self) -> None:
        uuid, seat = self._seat()
        open_lessons = [x for x in self.courses[seat["course"]] if x not in seat["done"]]
        if not open_lessons or seat["status"] not in TAKING_PART:
            return
        ago, lesson = self.ago(), self.random.choice(open_lessons)
        seat["done"].append(lesson)
        seat["progress"] = 100 * len(seat["done"]) / 4
        self.story.add(
            learning.LessonCompleted(
                enrollment=uuid, course=seat["course"], student=seat["student"], lesson=lesson,
                progress_percentage=seat["progress"], completed_lessons=len(seat["done"]), total_lessons=4,
                local_date=self.at(ago).date(),
            ),
            days_ago=ago,
        )  # fmt: skip
        seat["status"] = "completed" if len(seat["done"]) == 4 else "in_progress"
        seat["completed"] = self.at(ago) if seat["status"] == "completed" else None
        self._state(uuid, seat)
        self.reached.add((uuid, lesson))
        self.completed.add((uuid, lesson))
        self._learned(seat, ago)

    def _quiz(self) -> None:
        _, seat = self._seat()
        quiz = UUID(int=seat["course"].int ^ self.random.randrange(1, 3) << 8)
        percentage = float(self.random.choice((0, 25, 50, 75, 100)))
        facts = {
            "attempt": uuid4(), "number": 1, "quiz": quiz, "kind": "graded", "title": "Quiz", "lesson": None,
            "course": seat["course"], "enrollment": uuid4(), "student": seat["student"],
        }  # fmt: skip
        ago = self.ago()
        day = self.at(ago).date()
        self.story.add(quizzes.QuizStarted(**facts, deadline=None, local_date=day), days_ago=ago)
        self.story.add(
            quizzes.QuizSubmitted(**facts, by_deadline=False, seconds_taken=9, local_date=day), days_ago=ago
        )
        self._learned(seat, ago)
        self.attempts[facts["attempt"]] = {"facts": facts, "percentage": None}
        self._grade(facts, percentage, regrade=False)

    def _grade(self, facts: dict[str, Any], percentage: float, *, regrade: bool) -> None:
        question = UUID(int=facts["quiz"].int ^ 0xF)
        self.story.add(
            quizzes.QuizGraded(
                **facts, score=percentage, max_score=100, percentage=percentage, passed=percentage >= 50,
                is_regrade=regrade, score_visible=True,
                questions=(
                    quizzes.QuestionResult(
                        question=question, kind="numeric", score=percentage, points=100, share=percentage
                    ),
                ),
            )
        )  # fmt: skip
        self.attempts[facts["attempt"]]["percentage"] = percentage

    def _regrade(self) -> None:
        if self.attempts:
            attempt = self.random.choice(list(self.attempts.values()))
            self._grade(attempt["facts"], float(self.random.choice((10, 60, 90))), regrade=True)

    def _leave(self) -> None:
        uuid, seat = self._seat()
        seat["status"] = "in_progress" if seat["status"] == "dropped" else "dropped"
        seat["completed"] = None
        self._state(uuid, seat)

    def _talk(self) -> None:
        _, seat = self._seat()
        ago = self.ago()
        facts: dict[str, Any] = {
            "discussion": uuid4(), "forum": uuid4(), "course": seat["course"], "author": seat["student"],
            "discussion_type": "question",
        }  # fmt: skip
        self.story.add(forum.DiscussionStarted(**facts, mentions=()), days_ago=ago)
        self.story.add(self._state_of(facts))
        self.discussions[facts["discussion"]] = {"facts": facts, "hidden": False, "at": self.at(ago)}
        self._present(seat["student"], ago)
        later = ago / 2
        self.story.add(
            forum.ReplyPosted(
                reply=uuid4(), discussion=facts["discussion"], forum=facts["forum"], course=seat["course"],
                author=seat["student"], discussion_author=seat["student"], parent=None, parent_author=None,
                is_chat=False, is_instructor_reply=False, mentions=(),
            ),
            days_ago=later,
        )  # fmt: skip
        self.replies.append((seat["course"], self.at(later)))
        self._present(seat["student"], later)

    @staticmethod
    def _state_of(facts: dict[str, Any]) -> DiscussionState:
        named = {n: v for n, v in facts.items() if n != "discussion"}
        return DiscussionState(uuid=facts["discussion"], title="Why?", **named)

    def _hide(self) -> None:
        if not self.discussions:
            return
        discussion = self.random.choice(list(self.discussions.values()))
        discussion["hidden"] = not discussion["hidden"]
        state = self._state_of(discussion["facts"])
        if discussion["hidden"]:
            self.story.bury(state)
        else:
            self.story.add(state)

    def _ticket(self) -> None:
        student = self.random.choice(list(self.users))
        ago = self.ago()
        facts: dict[str, Any] = {
            "ticket": uuid4(), "number": "T-1", "requester": student, "assigned_to": None, "course": None,
            "category": "general", "priority": "low", "actor": student,
        }  # fmt: skip
        self.story.add(support.TicketOpened(**facts, status="open"), days_ago=ago)
        self._present(student, ago)
        ticket = self.tickets[facts["ticket"]] = {"opened": self.at(ago), "resolved": None, "rating": None}
        for kind, status in ((support.TicketResolved, "resolved"), (support.TicketReopened, "open")):
            if self.random.random() < 0.5:
                break
            self.story.add(kind(**facts, status=status), days_ago=ago / 2)
            ticket["resolved"] = self.at(ago / 2) if status == "resolved" else None
        if self.random.random() < 0.5:
            ticket["rating"] = self.random.randrange(1, 6)
            status = "resolved" if ticket["resolved"] else "open"
            self.story.add(support.TicketRated(**facts, status=status, rating=ticket["rating"]))

    def _certify(self) -> None:
        uuid, seat = self._seat()
        facts = {
            "certificate": uuid4(), "number": "C-1", "enrollment": uuid, "course": seat["course"],
            "student": seat["student"],
        }  # fmt: skip
        self.story.add(learning.CertificateIssued(**facts), days_ago=self.ago())
        self.certificates[facts["certificate"]] = True
        if self.random.random() < 0.5:
            self.story.add(learning.CertificateRevoked(**facts, actor=self.teacher))
            self.certificates[facts["certificate"]] = False

    def _erase(self) -> None:
        """Somebody's state gets a tombstone; what they did stays."""
        if len(self.users) > 2:
            student = self.random.choice(list(self.users))
            del self.users[student]
            self.story.bury(user_state(student))

    def _withdraw(self) -> None:
        """An enrolment gets a tombstone."""
        if len(self.seats) > 2:
            uuid, seat = self._seat()
            del self.seats[uuid]
            self.story.bury(enrollment_state(seat["course"], seat["student"], uuid=uuid))

    def shuffled(self) -> list[Record]:
        """Events of one key in order, keys in any; some come twice."""
        waiting: dict[tuple[str, str | None], list[Record]] = defaultdict(list)
        for record in self.story.records:
            waiting[record.topic, record.key].append(record)
        self.story.records.clear()
        told: list[Record] = []
        while waiting:
            place = self.random.choice(list(waiting))
            told.append(waiting[place].pop(0))
            if not waiting[place]:
                del waiting[place]
            if self.random.random() < 0.1:
                told.append(self.random.choice(told))
        return told


async def tell(analytics: Harness, school: School) -> None:
    """Apply the history in batches of any size."""
    records = school.shuffled()
    while records:
        size = school.random.randrange(1, 60)
        outcome = await apply_batch(analytics.db, analytics.subscription, records[:size])
        assert outcome.parked == 0
        del records[:size]


async def get(person: Person, path: str, **parameters: str) -> dict[str, Any]:
    answer = await person.client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("seed", range(4))
async def test_deltas_a_fold_from_scratch_and_counting_by_hand_agree(
    analytics: Harness, story: Story, seed: int
):
    school = School(story, seed)
    school.write()
    manager = analytics.person("manager")
    story.user(manager, "manager", zone=ZONE, days_ago=100)
    school.users[manager.uuid] = story.now - timedelta(days=100)
    await tell(analytics, school)
    first = story.now.date() - timedelta(days=school.random.randrange(20, 50))
    last = first + timedelta(days=school.random.randrange(0, 20))
    for round_ in range(2):
        period = {"from": first.isoformat(), "to": last.isoformat()}
        check_platform(school, await get(manager, "/api/core/analytics/platform/", **period), first, last)
        now = await get(manager, "/api/core/analytics/platform/")
        check_stats(school, now["platform_stats"])
        for course in school.courses:
            check_course(school, course, await get(manager, f"/api/courses/{course}/analytics/"))
        if not round_:
            assert (await rebuild(analytics.db, batch=50)).differing == []


def local(moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(ZONE)).date()


def present(school: School) -> list[dict[str, Any]]:
    return [seat for seat in school.seats.values() if seat["status"] in TAKING_PART]


def check_stats(school: School, stats: dict[str, int]) -> None:
    assert stats["total_users"] == len(school.users)
    assert stats["total_enrollments"] == len(present(school))
    assert stats["completions"] == sum(seat["status"] == "completed" for seat in present(school))
    assert stats["certificates"] == sum(school.certificates.values())
    assert stats["discussions"] == sum(not d["hidden"] for d in school.discussions.values())
    assert stats["active_tickets"] == sum(t["resolved"] is None for t in school.tickets.values())


def check_platform(school: School, body: dict[str, Any], first: date, last: date) -> None:
    within = {user for day, user in school.active if first <= day <= last}
    assert body["engagement"]["active_users"] == len(within)
    for day in body["growth_metrics"]:
        at = date.fromisoformat(day["date"])
        assert day["active_users"] == sum(d == at for d, _ in school.active)
        assert day["new_users"] == sum(local(joined) == at for joined in school.users.values())
        seats = school.seats.values()
        assert day["enrollments"] == sum(local(seat["enrolled"]) == at for seat in seats)
        assert day["completions"] == sum(
            seat["completed"] is not None and local(seat["completed"]) == at for seat in seats
        )
    load = body["support_load"]
    opened = [t for t in school.tickets.values() if first <= local(t["opened"]) <= last]
    assert load["opened"] == len(opened)
    assert load["rating"] == rules.rounded(
        sum(t["rating"] for t in opened if t["rating"])
        / max(1, sum(t["rating"] is not None for t in opened)),
        2,
    )
    assert load["resolved"] == sum(
        t["resolved"] is not None and first <= local(t["resolved"]) <= last for t in school.tickets.values()
    )


def check_course(school: School, course: UUID, body: dict[str, Any]) -> None:
    seats = [(uuid, seat) for uuid, seat in school.seats.items() if seat["course"] == course]
    taking = {uuid: seat for uuid, seat in seats if seat["status"] in TAKING_PART}
    assert body["studentActivity"]["progress_distribution"] == {
        "not_started": sum(s["status"] != "completed" and s["progress"] == 0 for s in taking.values()),
        "in_progress": sum(s["status"] != "completed" and s["progress"] > 0 for s in taking.values()),
        "completed": sum(s["status"] == "completed" for s in taking.values()),
    }
    assert body["summary"]["avg_progress"] == rules.mean(s["progress"] for s in taking.values())
    for step, lesson in zip(body["funnel"], school.courses[course], strict=True):
        assert step["completed"] == sum((uuid, lesson) in school.completed for uuid in taking)
        assert step["reached"] == sum((uuid, lesson) in school.reached for uuid in taking)
    check_questions(school, course, body["questions"])
    students = {row["student"]["uuid"]: row for row in body["students"]["results"]}
    assert set(students) == {str(seat["student"]) for seat in taking.values()}
    for seat in taking.values():
        row = students[str(seat["student"])]
        days = [day for c, student, day in school.days if (c, student) == (course, seat["student"])]
        assert row["last_active"] == (max(days).isoformat() if days else None)
        assert row["minutes"] == rules.rounded(school.seconds[course, seat["student"]] / 60)
        best: dict[UUID, float] = {}
        for attempt in school.attempts.values():
            facts = attempt["facts"]
            if (facts["course"], facts["student"]) == (course, seat["student"]):
                best[facts["quiz"]] = max(best.get(facts["quiz"], 0), attempt["percentage"])
        assert row["score"] == (rules.mean(best.values()) if best else None)
    check_cohorts(school, course, list(taking.values()), body["cohorts"])


def check_questions(school: School, course: UUID, questions: list[dict[str, Any]]) -> None:
    graded: dict[UUID, list[float]] = defaultdict(list)
    for attempt in school.attempts.values():
        if attempt["facts"]["course"] == course:
            graded[attempt["facts"]["quiz"]].append(attempt["percentage"])
    assert {q["quiz"] for q in questions} == {str(quiz) for quiz in graded}
    for question in questions:
        shares = sorted(graded[UUID(question["quiz"])], reverse=True)
        assert question["answers"] == len(shares)
        assert question["difficulty"] == pytest.approx(sum(shares) / len(shares), abs=0.001)
        half = (len(shares) + 1) // 2
        if len(shares) > 1:
            upper, lower = shares[:half], shares[half:]
            expected = sum(upper) / len(upper) - sum(lower) / len(lower)
            assert question["discrimination"] == pytest.approx(expected, abs=0.001)


def check_cohorts(
    school: School, course: UUID, taking: list[dict[str, Any]], cohorts: list[dict[str, Any]]
) -> None:
    def monday(day: date) -> date:
        return day - timedelta(days=day.weekday())

    expected: dict[date, list[UUID]] = defaultdict(list)
    for seat in taking:
        expected[monday(seat["enrolled"].astimezone(UTC).date())].append(seat["student"])
    assert {date.fromisoformat(c["week"]): c["enrolled"] for c in cohorts} == {
        week: len(students) for week, students in expected.items()
    }
    for cohort in cohorts:
        week = date.fromisoformat(cohort["week"])
        for age, percent in enumerate(cohort["retained"]):
            active = {
                student
                for c, student, day in school.days
                if c == course and student in expected[week] and monday(day) == week + timedelta(weeks=age)
            }
            assert percent == rules.share(len(active), len(expected[week]))
