"""A generated school in a projection: seeded, with values that are missing and clocks that jump."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics.projection import use_live
from services.analytics.read_models import TABLES

Row = dict[str, Any]
# Clocks that jump over midnight or back across it, by half an hour, over a whole day, and common ones.
ZONES = (
    "UTC", "Europe/London", "America/Sao_Paulo", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia",
    "Asia/Kathmandu",
)  # fmt: skip
JUMPS = (
    datetime(2011, 11, 6, 2, 31, tzinfo=UTC),  # St John's: 0:01 becomes 23:01 of the day before
    datetime(2011, 12, 30, 10, tzinfo=UTC),  # Apia has no 30 December
    datetime(2018, 2, 18, 2, tzinfo=UTC),  # São Paulo: midnight becomes 23:00
    datetime(2018, 11, 4, 3, tzinfo=UTC),  # São Paulo has no midnight
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Lord Howe: half an hour twice
    datetime(2026, 10, 25, 1, tzinfo=UTC),
)


class School:
    """Rows by table. `teacher` has the courses with an even number, and co-teaches the last."""

    def __init__(self, seed: int, courses: int = 6, people: int = 24, times: int = 1) -> None:
        self.random = Random(seed)
        self.teacher = self.uuid()
        self.courses = [self.course(n, n == courses - 1) for n in range(courses)]
        self.people = [self.uuid() for _ in range(people)]
        # Some are erased: what they did stays under the bare id.
        self.users = [self.user(uuid) for uuid in self.people[: people - 3]]
        self.rows: dict[str, list[Row]] = {"users": self.users, "courses": self.courses}
        self.lessons = {c["uuid"]: [UUID(lesson["uuid"]) for lesson in c["lessons"]] for c in self.courses}
        for name, make, count in (
            ("enrollments", self.enrollment, 70),
            ("lesson_completions", self.lesson_completion, 120),
            ("attempts", self.attempt, 90),
            ("submissions", self.submission, 50),
            ("study", self.study, 90),
            ("certificates", self.certificate, 20),
            ("discussions", self.discussion, 25),
            ("replies", self.reply, 60),
            ("tickets", self.ticket, 20),
            ("learning_days", self.learning_day, 60),
            ("course_days", self.course_day, 90),
            ("lesson_visits", self.lesson_visit, 90),
            ("media", self.play, 90),
        ):
            self.rows[name] = self.distinct(name, (make() for _ in range(times * count)))

    def distinct(self, name: str, rows: Iterable[Row]) -> list[Row]:
        keys = [c.name for c in TABLES.tables[name].primary_key]
        return list({tuple(row[k] for k in keys): row for row in rows}.values())

    async def fill(self, session: AsyncSession) -> None:
        """Put the school in place of what the live projection has."""
        await use_live(session)
        for table in TABLES.sorted_tables:
            await session.execute(table.delete())
            if rows := self.rows.get(str(table.name)):
                await session.execute(insert(table), rows)

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def moment(self, missing: float = 0.0) -> datetime | None:
        if self.random.random() < missing:
            return None
        return self.random.choice(JUMPS) + timedelta(minutes=self.random.randrange(-3000, 3000))

    def day(self) -> date:
        return self.random.choice(JUMPS).date() + timedelta(days=self.random.randrange(-3, 4))

    def pick(self, *values: Any) -> Any:
        return self.random.choice(values)

    def course(self, number: int, shared: bool) -> Row:
        uuid = self.uuid()
        return {
            "uuid": uuid,
            "title": self.pick("Algebra", "Biology", "algebra II", "100% Rust_"),
            "status": self.pick("published", "draft"),
            "instructor": self.teacher if number % 2 == 0 else self.uuid(),
            "instructors": [str(self.teacher)] if shared else self.pick([], None),
            "category": self.pick("Mathematics", "Science", None),
            "level": self.pick("beginner", None),
            "lessons": [
                {"uuid": str(self.uuid()), "title": f"L{n}", "content_type": self.pick("video", "text")}
                for n in range(3)
            ],
            "created_at": self.moment(),
            "published_at": self.moment(0.3),
            "average_rating": self.pick(0.0, 3.5, 4.25),
            "reviews_count": self.pick(0, 1, 8),
        }

    def user(self, uuid: UUID) -> Row:
        return {
            "uuid": uuid,
            "role": self.pick("student", "teacher"),
            "is_active": self.pick(True, True, False),
            "time_zone": self.pick("UTC", "Europe/London"),
            "date_joined": self.moment(),
        }

    def where(self) -> Row:
        return {"course": self.pick(*self.courses)["uuid"], "student": self.pick(*self.people)}

    def enrollment(self) -> Row:
        status = self.pick("enrolled", "in_progress", "completed", "completed", "dropped", "waitlisted")
        return self.where() | {
            "uuid": self.uuid(),
            "status": status,
            "progress": self.pick(0.0, 33.3, 50.0, 100.0),
            "completed_lessons": [],
            "enrolled_at": self.moment(),
            "started_at": self.moment(0.5),
            "completed_at": self.moment() if status == "completed" else None,
            "last_accessed": self.moment(0.2),
        }

    def lesson_completion(self) -> Row:
        where = self.where()
        lesson = self.pick(*self.lessons[where["course"]], self.uuid())  # one that is taken out meanwhile
        return where | {
            "enrollment": self.uuid(),
            "lesson": lesson,
            "completed_at": self.moment(),
            "local_date": self.day(),
        }

    def attempt(self) -> Row:
        submitted = self.moment(0.3)
        graded = submitted is not None and self.random.random() < 0.8
        return self.where() | {
            "attempt": self.uuid(),
            "quiz": UUID(int=self.random.randrange(6), version=4),
            "kind": self.pick("graded", "practice"),
            "title": self.pick("Quiz", None),
            "started_at": self.moment(),
            "submitted_at": submitted,
            "percentage": self.pick(10.0, 55.5, 100.0) if graded else None,
            "passed": self.pick(True, False) if graded else None,
            "score_visible": True,
            "questions": [self.answer(n) for n in range(3)] if graded else None,
            "seconds_taken": self.random.randrange(900) if submitted else None,
        }

    def answer(self, number: int) -> Row:
        kind = ("numeric", "matching", "true_false")[number]
        return {
            "question": str(UUID(int=number, version=4)),
            "kind": kind,
            "share": self.pick(None, 0.0, 50.0, 100.0),
        }

    def lesson_visit(self) -> Row:
        where = self.where()
        return where | {"enrollment": self.uuid(), "lesson": self.pick(*self.lessons[where["course"]])}

    def play(self) -> Row:
        where = self.where()
        stretch, plays = self.random.randrange(5), self.random.randrange(1, 4)
        return where | {
            "lesson": self.pick(*self.lessons[where["course"]]),
            "stretch": stretch,
            "plays": plays,
        }

    def course_day(self) -> Row:
        return self.where() | {"local_date": self.day()}

    def submission(self) -> Row:
        return self.where() | {
            "submission": self.uuid(),
            "assignment": self.uuid(),
            "title": "Essay",
            "submitted_at": self.moment(0.2),
            "late_seconds": self.pick(0, 600, None),
            "percentage": self.pick(None, 40.0, 80.0),
            "excused": self.pick(None, False, True),
            "posted": self.pick(None, True),
        }

    def study(self) -> Row:
        return self.where() | {"local_date": self.day(), "seconds": self.random.randrange(1, 9000)}

    def certificate(self) -> Row:
        return self.where() | {
            "certificate": self.uuid(), "issued_at": self.moment(), "revoked": self.pick(True, False, False)
        }  # fmt: skip

    def written(self) -> Row:
        where = self.where()
        return {"course": self.pick(where["course"], where["course"], None), "author": where["student"]}

    def discussion(self) -> Row:
        return self.written() | {
            "discussion": self.uuid(),
            "discussion_type": self.pick("question", "discussion"),
            "started_at": self.moment(),
            "is_resolved": self.pick(True, False),
            "is_hidden": self.pick(None, None, True),
        }

    def reply(self) -> Row:
        return self.written() | {
            "reply": self.uuid(),
            "discussion": self.uuid(),
            "posted_at": self.moment(),
            "is_chat": self.pick(True, False),
            "is_instructor_reply": False,
            "is_solution": self.pick(True, False),
            "upvotes": self.random.randrange(4),
            "is_deleted": self.pick(None, None, True),
        }

    def ticket(self) -> Row:
        opened = self.moment()
        assert opened is not None
        return {
            "ticket": self.uuid(),
            "requester": self.pick(*self.people),
            "course": self.pick(None, self.courses[0]["uuid"]),
            "category": self.pick("general", "billing"),
            "priority": "low",
            "status": self.pick("open", "resolved"),
            "opened_at": opened,
            "first_response_at": self.pick(None, opened + timedelta(minutes=7)),
            "resolved_at": None,
            "rating": self.pick(None, 2, 5),
        }

    def learning_day(self) -> Row:
        return {"student": self.pick(*self.people), "local_date": self.day()}
