"""A school's history in the event log: learners who come back in the evening, courses that people give up.

Seeded: the same numbers give the same events. Rows are made for `COPY` into `analytics.event_log`.
"""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from libs.common.testing.states import course_state, enrollment_state, module_state, user_state

LESSONS, QUESTIONS, DAYS = 20, 5, 365
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Africa/Lagos", "UTC")
HOURS = (7, 8, 12, 15, 17, 18, 18, 19, 19, 20, 20, 21, 22)
COLUMNS = "occurred_at, event_id, topic, key, seq, type, payload"
Row = tuple[datetime, UUID, str, str, int, str, str]


def _uuid(kind: int, number: int) -> UUID:
    return UUID(int=(kind << 96) | (4 << 76) | (8 << 60) | number)


@dataclass
class Seat:
    """One learner in one course."""

    uuid: str
    student: str
    course: int
    enrolled: datetime
    done: list[str] = field(default_factory=list)
    attempts: int = 0
    seq: int = 1
    state: int = 1
    drop_after: int = LESSONS


class School:
    """`learners` people, `courses` with twenty lessons each, three enrolments a learner."""

    def __init__(self, learners: int, courses: int, *, now: datetime, seed: int = 7) -> None:
        self.random = random.Random(seed)
        self.now = now
        self.first = now - timedelta(days=DAYS)
        self.learners = [str(_uuid(1, n + 1)) for n in range(learners)]
        self.teachers = [_uuid(2, n + 1) for n in range(max(1, courses // 5))]
        self.courses = [_uuid(3, n + 1) for n in range(courses)]
        self.lessons = [
            [str(_uuid(4, course * 100 + n)) for n in range(LESSONS)] for course in range(courses)
        ]
        self._events = 0
        self._attempts = 0
        self.seats: list[Seat] = []

    def row(self, at: datetime, topic: str, key: str, seq: int, kind: str, payload: dict[str, Any]) -> Row:
        self._events += 1
        return at, _uuid(9, self._events), topic, key, seq, kind, orjson.dumps(payload).decode()

    def base(self) -> Iterator[Row]:
        """States of everybody and everything, before anybody learned anything."""
        people = [(UUID(u), "student") for u in self.learners] + [(u, "teacher") for u in self.teachers]
        for number, (uuid, role) in enumerate(people):
            joined = self.first + timedelta(days=DAYS) * self.random.random() * 0.5
            user = user_state(
                uuid, "Nobody", role, email="", time_zone=ZONES[number % len(ZONES)], date_joined=joined
            )
            yield self.row(joined, user.topic, str(uuid), 1, user.type, user.model_dump(mode="json"))
        for place, uuid in enumerate(self.courses):
            state = course_state(
                uuid,
                self.teachers[place % len(self.teachers)],
                status="published",
                title=f"Course {place}",
                category={"uuid": _uuid(5, place % 12), "name": f"Subject {place % 12}", "slug": "s"},
                instructors=(),
                modules=(module_state(*(UUID(u) for u in self.lessons[place]), points=0),),
                created_at=self.first, updated_at=self.first, published_at=self.first,
            )  # fmt: skip
            yield self.row(self.first, state.topic, str(uuid), 1, state.type, state.model_dump(mode="json"))
        for student in self.learners:
            for course in self.random.sample(range(len(self.courses)), min(3, len(self.courses))):
                at = self.first + timedelta(days=DAYS) * self.random.random() * 0.8
                seat = Seat(str(_uuid(6, len(self.seats) + 1)), student, course, at)
                seat.drop_after = self.random.choice((3, 6, 10, LESSONS, LESSONS + 1, LESSONS + 1))
                self.seats.append(seat)
                yield from self._state(seat, at, "enrolled")

    def _state(self, seat: Seat, at: datetime, status: str) -> Iterator[Row]:
        state = enrollment_state(self.courses[seat.course], UUID(seat.student), status, uuid=UUID(seat.uuid))
        payload = {
            **state.model_dump(mode="json"),
            "progress_percentage": 100 * len(seat.done) / LESSONS,
            "completed_lessons": seat.done,
            "enrolled_at": seat.enrolled,
            "started_at": at if seat.done else None,
            "completed_at": at if status == "completed" else None,
            "last_accessed": at,
        }
        yield self.row(at, state.topic, seat.uuid, seat.state, state.type, payload)
        seat.state += 1

    def events(self, most: int, courses: Collection[int] = ()) -> Iterator[Row]:
        """Evenings of learning, `most` events in all, in the order of days; on these courses, if given."""
        seats = [seat for seat in self.seats if not courses or seat.course in courses]
        day, made = 0, 0
        per_day = most / DAYS
        while made < most:
            day = min(day + 1, DAYS)
            while made < most and (made < per_day * day or day == DAYS):
                seat = self.random.choice(seats)
                hour = self.random.choice(HOURS)
                at = self.first + timedelta(
                    days=day - 1, hours=hour - self.first.hour, seconds=self.random.random() * 3600
                )
                for row in self._evening(seat, max(at, seat.enrolled)):
                    yield row
                    made += 1
                    if made >= most:
                        return

    def _evening(self, seat: Seat, at: datetime) -> Iterator[Row]:
        chance = self.random.random
        course, lessons = str(self.courses[seat.course]), self.lessons[seat.course]
        day = at.date().isoformat()
        self._attempts += 1
        visit = str(_uuid(8, self._attempts))
        yield self.row(
            at, "identity.events", visit, 1, "identity.session_started.v1",
            {"session": visit, "user": seat.student},
        )  # fmt: skip
        facts = {"enrollment": seat.uuid, "course": course, "student": seat.student}
        lesson = lessons[min(len(seat.done), LESSONS - 1)]
        for _ in range(self.random.randrange(2, 7)):
            at += timedelta(minutes=1)
            yield self.row(
                at, "learning.events", seat.uuid, seat.seq, "learning.study_time_recorded.v1",
                {**facts, "lesson": lesson, "seconds": self.random.randrange(20, 61), "local_date": day},
            )  # fmt: skip
            seat.seq += 1
        if len(seat.done) < min(seat.drop_after, LESSONS) and chance() < 0.8:
            seat.done.append(lesson)
            yield self.row(
                at, "learning.events", seat.uuid, seat.seq, "learning.lesson_completed.v1",
                {
                    **facts, "lesson": lesson, "progress_percentage": 100 * len(seat.done) / LESSONS,
                    "completed_lessons": len(seat.done), "total_lessons": LESSONS, "local_date": day,
                },
            )  # fmt: skip
            seat.seq += 1
            yield from self._state(seat, at, "completed" if len(seat.done) == LESSONS else "in_progress")
        if chance() < 0.3:
            yield from self._quiz(seat, facts, at, day)
        if chance() < 0.08:
            yield from self._talk(seat, course, at)

    def _quiz(self, seat: Seat, facts: dict[str, str], at: datetime, day: str) -> Iterator[Row]:
        self._attempts += 1
        number = self.random.randrange(LESSONS // 4)
        attempt = str(_uuid(7, self._attempts))
        quiz = {
            **facts, "attempt": attempt, "number": 1, "quiz": str(_uuid(10, seat.course * 100 + number)),
            "kind": "graded", "title": f"Quiz {number}", "lesson": None,
        }  # fmt: skip
        skill = self.random.random()
        shares = [100.0 if self.random.random() < 0.3 + 0.6 * skill else 0.0 for _ in range(QUESTIONS)]
        results = [
            {
                "question": str(_uuid(11, (seat.course * 100 + number) * 10 + place)), "kind": "numeric",
                "score": share / 100, "points": 1.0, "share": share, "question_kind": "numeric",
            }
            for place, share in enumerate(shares)
        ]  # fmt: skip
        percentage = sum(shares) / QUESTIONS
        steps: list[tuple[str, dict[str, Any]]] = [
            ("started", {"deadline": None, "local_date": day}),
            ("submitted", {"by_deadline": False, "seconds_taken": 240, "local_date": day}),
            ("graded", {
                "score": percentage / 20, "max_score": 5.0, "percentage": percentage,
                "passed": percentage >= 50, "is_regrade": False, "score_visible": True, "questions": results,
            }),
        ]  # fmt: skip
        for seq, (step, more) in enumerate(steps, 1):
            kind = f"learning.quiz_{step}.v1"
            yield self.row(
                at + timedelta(minutes=2 * seq), "learning.events", attempt, seq, kind, quiz | more
            )

    def _talk(self, seat: Seat, course: str, at: datetime) -> Iterator[Row]:
        self._attempts += 1
        discussion = str(_uuid(12, self._attempts))
        facts = {
            "discussion": discussion, "forum": course, "course": course, "author": seat.student,
            "discussion_type": "question",
        }  # fmt: skip
        yield self.row(
            at, "forum.events", discussion, 1, "forum.discussion_started.v1", {**facts, "mentions": []}
        )
        reply = str(_uuid(13, self._attempts))
        yield self.row(
            at + timedelta(minutes=9), "forum.events", reply, 1, "forum.reply_posted.v1",
            {
                "reply": reply, "discussion": discussion, "forum": course, "course": course,
                "author": str(self.teachers[seat.course % len(self.teachers)]),
                "discussion_author": seat.student, "parent": None, "parent_author": None, "is_chat": False,
                "is_instructor_reply": True, "mentions": [], "readers": None,
            },
        )  # fmt: skip


def school(learners: int, courses: int) -> School:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return School(learners, courses, now=midnight)
