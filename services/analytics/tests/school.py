"""A generated school in a projection, and an oracle that answers queries row by row in plain Python."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import projection as p

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

    def __init__(self, seed: int, courses: int = 6, people: int = 24) -> None:
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
        ):
            self.rows[name] = self.distinct(name, (make() for _ in range(count)))

    def distinct(self, name: str, rows: Iterable[Row]) -> list[Row]:
        keys = [c.name for c in p.TABLES.tables[name].primary_key]
        return list({tuple(row[k] for k in keys): row for row in rows}.values())

    async def fill(self, session: AsyncSession) -> None:
        """Put the school in place of what the live projection has."""
        await p.use_live(session)
        for table in p.TABLES.sorted_tables:
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
        status = self.pick("enrolled", "in_progress", "completed", "completed", "withdrawn", "waitlisted")
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
            "questions": None,
        }

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


# What the oracle knows of the dictionary, said once more and in other words.
FACTS: Mapping[str, tuple[str, str, str | None]] = {
    "people": ("users", "date_joined", "uuid"),
    "courses": ("courses", "published_at", None),
    "enrollments": ("enrollments", "enrolled_at", "student"),
    "completions": ("enrollments", "completed_at", "student"),
    "lesson_completions": ("lesson_completions", "completed_at", "student"),
    "attempts": ("attempts", "started_at", "student"),
    "submissions": ("submissions", "submitted_at", "student"),
    "study": ("study", "local_date", "student"),
    "certificates": ("certificates", "issued_at", "student"),
    "discussions": ("discussions", "started_at", "author"),
    "replies": ("replies", "posted_at", "author"),
    "tickets": ("tickets", "opened_at", "requester"),
    "learning_days": ("learning_days", "local_date", "student"),
}
TAKES_PART = ("enrolled", "in_progress", "completed")
HAS_COURSE = {name for name in FACTS if name not in ("people", "learning_days")}
HAS_PEOPLE = {name for name in FACTS if name != "courses"}


def ratio(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None


def mean(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _minutes(row: Row) -> float | None:
    answered = row["first_response_at"]
    return (answered - row["opened_at"]).total_seconds() / 60 if answered else None


def _rating(rows: list[Row]) -> float | None:
    reviews = sum(r["reviews_count"] for r in rows)
    return sum(r["average_rating"] * r["reviews_count"] for r in rows) / reviews if reviews else None


MEASURES: Mapping[str, Callable[[list[Row]], Any]] = {
    "people.count": len,
    "people.active": lambda rows: sum(r["is_active"] for r in rows),
    "courses.count": len,
    "courses.published": lambda rows: sum(r["status"] == "published" for r in rows),
    "courses.reviews": lambda rows: sum(r["reviews_count"] for r in rows),
    "courses.rating": _rating,
    "enrollments.count": lambda rows: sum(r["status"] in TAKES_PART for r in rows),
    "enrollments.all": len,
    "enrollments.students": lambda rows: len({r["student"] for r in rows if r["status"] in TAKES_PART}),
    "enrollments.completed": lambda rows: sum(r["status"] == "completed" for r in rows),
    "enrollments.completion_rate": lambda rows: ratio(
        sum(r["status"] == "completed" for r in rows), sum(r["status"] in TAKES_PART for r in rows)
    ),
    "enrollments.average_progress": lambda rows: mean(
        r["progress"] for r in rows if r["status"] in TAKES_PART
    ),
    "completions.count": len,
    "completions.days": lambda rows: mean(
        (r["completed_at"] - r["enrolled_at"]).total_seconds() / 86400 for r in rows
    ),
    "lesson_completions.count": len,
    "lesson_completions.students": lambda rows: len({r["student"] for r in rows}),
    "attempts.count": len,
    "attempts.submitted": lambda rows: sum(r["submitted_at"] is not None for r in rows),
    "attempts.students": lambda rows: len({r["student"] for r in rows}),
    "attempts.average_score": lambda rows: mean(r["percentage"] for r in rows),
    "attempts.pass_rate": lambda rows: ratio(
        sum(r["passed"] is True for r in rows), sum(r["passed"] is not None for r in rows)
    ),
    "submissions.count": lambda rows: sum(r["submitted_at"] is not None for r in rows),
    "submissions.graded": lambda rows: sum(r["percentage"] is not None for r in rows),
    "submissions.average_grade": lambda rows: mean(r["percentage"] for r in rows if not r["excused"]),
    "submissions.late_rate": lambda rows: ratio(
        sum((r["late_seconds"] or 0) > 0 for r in rows), sum(r["submitted_at"] is not None for r in rows)
    ),
    "study.seconds": lambda rows: sum(r["seconds"] for r in rows),
    "study.minutes": lambda rows: sum(r["seconds"] for r in rows) / 60,
    "study.students": lambda rows: len({r["student"] for r in rows}),
    "certificates.count": len,
    "discussions.count": len,
    "discussions.open_questions": lambda rows: sum(
        r["discussion_type"] == "question" and not r["is_resolved"] for r in rows
    ),
    "replies.count": len,
    "replies.authors": lambda rows: len({r["author"] for r in rows}),
    "replies.upvotes": lambda rows: sum(r["upvotes"] for r in rows),
    "tickets.count": len,
    "tickets.open": lambda rows: sum(r["status"] not in ("resolved", "closed") for r in rows),
    "tickets.first_response_minutes": lambda rows: mean(map(_minutes, rows)),
    "tickets.rating": lambda rows: mean(r["rating"] for r in rows),
    "learning_days.days": len,
    "learning_days.learners": lambda rows: len({r["student"] for r in rows}),
}
OWN_DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "enrollments": ("status", "takes_part", "progress_band"),
    "attempts": ("quiz", "kind", "quiz_title", "is_submitted", "passed"),
    "submissions": ("is_late", "excused"),
    "discussions": ("discussion_type", "is_resolved"),
    "replies": ("is_chat", "is_solution"),
    "tickets": ("category", "status"),
}
COURSE_DIMENSIONS = ("uuid", "title", "status", "category", "level")
PEOPLE_DIMENSIONS = ("uuid", "role", "is_active", "time_zone")


class Oracle:
    """Answers a query by going over the rows of the school, one by one."""

    def __init__(self, school: School) -> None:
        self.school = school
        self.courses = {row["uuid"]: row for row in school.courses}
        self.users = {row["uuid"]: row for row in school.users}

    def rows(self, fact: str) -> list[Row]:
        rows = self.school.rows[FACTS[fact][0]]
        if fact == "completions":
            return [row for row in rows if row["status"] == "completed"]
        if fact == "certificates":
            return [row for row in rows if not row["revoked"]]
        return rows

    def value(self, fact: str, row: Row, member: str) -> Any:
        """The value of a dimension in a row; a time as it is stored."""
        dataset, _, name = member.partition(".")
        _, time, person = FACTS[fact]
        if dataset == "time":
            return row[time]
        if dataset == "courses" and fact != "courses":
            course = row["course"]
            return course if name == "uuid" else self.courses.get(course, {}).get(name)
        if dataset == "people" and fact != "people":
            who = row[person or ""]
            return who if name == "uuid" else self.users.get(who, {}).get(name)
        return COMPUTED.get(member, lambda r: r[RENAMED.get(member, name)])(row)

    def answer(self, asked: Row) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Measures by the values of the groups, both as JSON has them."""
        zone = ZoneInfo(asked["timezone"])
        found: defaultdict[tuple[Any, ...], dict[str, list[Row]]] = defaultdict(dict)
        facts = list(dict.fromkeys(name.partition(".")[0] for name in asked["measures"]))
        for fact in facts:
            for row in self.rows(fact):
                if self.holds(fact, row, {"and": asked["filters"]}, zone) and self.in_ranges(
                    fact, row, asked, zone
                ):
                    found[self.group(fact, row, asked, zone)].setdefault(fact, []).append(row)
        if not asked["dimensions"] and not any("granularity" in t for t in asked["timeDimensions"]):
            found.setdefault((), {})
        return {
            key: {m: MEASURES[m](rows.get(m.partition(".")[0], [])) for m in asked["measures"]}
            for key, rows in found.items()
        }

    def group(self, fact: str, row: Row, asked: Row, zone: ZoneInfo) -> tuple[Any, ...]:
        plain = (json(self.value(fact, row, member)) for member in asked["dimensions"])
        timed = (
            bucket(self.value(fact, row, t["dimension"]), t["granularity"], zone)
            for t in asked["timeDimensions"]
            if "granularity" in t
        )
        return tuple(chain(plain, timed))

    def in_ranges(self, fact: str, row: Row, asked: Row, zone: ZoneInfo) -> bool:
        return all(
            between(day(self.value(fact, row, t["dimension"]), zone), t["dateRange"])
            for t in asked["timeDimensions"]
            if "dateRange" in t
        )

    def holds(self, fact: str, row: Row, given: Row, zone: ZoneInfo) -> bool:
        if "and" in given:
            return all(self.holds(fact, row, part, zone) for part in given["and"])
        if "or" in given:
            return any(self.holds(fact, row, part, zone) for part in given["or"])
        value = self.value(fact, row, given["member"])
        return compare(given["operator"], json(value), given.get("values", []), day(value, zone))


COMPUTED: Mapping[str, Callable[[Row], Any]] = {
    "enrollments.takes_part": lambda r: r["status"] in TAKES_PART,
    "enrollments.progress_band": lambda r: (
        "completed" if r["status"] == "completed" else "in_progress" if r["progress"] > 0 else "not_started"
    ),
    "attempts.is_submitted": lambda r: r["submitted_at"] is not None,
    "submissions.is_late": lambda r: None if r["late_seconds"] is None else r["late_seconds"] > 0,
}
RENAMED = {"attempts.quiz_title": "title", "people.joined_at": "date_joined"}


def compare(operator: str, value: Any, values: list[Any], on: date | None) -> bool:
    match operator:
        case "set":
            return value is not None
        case "notSet":
            return value is None
        case "equals":
            return value in values
        case "notEquals":
            return value not in values
        case "contains":
            return value is not None and any(v.lower() in value.lower() for v in values)
        case "inDateRange":
            return between(on, values)
        case "gte":
            return on is not None and on >= date.fromisoformat(values[0])
        case _:
            assert operator == "lt"
            return on is not None and on < date.fromisoformat(values[0])


def json(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def day(value: Any, zone: ZoneInfo) -> date | None:
    if isinstance(value, datetime):
        return value.astimezone(zone).date()
    return value if isinstance(value, date) else None


def between(on: date | None, days: list[str]) -> bool:
    return on is not None and date.fromisoformat(days[0]) <= on <= date.fromisoformat(days[-1])


def bucket(value: Any, granularity: str, zone: ZoneInfo) -> str | None:
    if value is None:
        return None
    if granularity == "hour":
        local = value.astimezone(zone)
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return (value - past).astimezone(zone).isoformat()
    on = day(value, zone)
    assert on is not None
    match granularity:
        case "week":
            on -= timedelta(days=on.weekday())
        case "month":
            on = on.replace(day=1)
        case "quarter":
            on = on.replace(month=(on.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            on = on.replace(month=1, day=1)
    return on.isoformat()
