"""An oracle that answers queries row by row in plain Python."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from services.analytics.tests.school import Row, School

# What the oracle knows of the dictionary, said once more and in other words.
FACTS: Mapping[str, tuple[str, str, str | None]] = {
    "people": ("users", "date_joined", "uuid"),
    "courses": ("courses", "published_at", None),
    "enrollments": ("enrollments", "enrolled_at", "student"),
    "completions": ("enrollments", "completed_at", "student"),
    "lesson_completions": ("lesson_completions", "completed_at", "student"),
    "attempts": ("attempts", "started_at", "student"),
    "answers": ("attempts", "submitted_at", "student"),
    "submissions": ("submissions", "submitted_at", "student"),
    "course_days": ("course_days", "local_date", "student"),
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
    "attempts.seconds": lambda rows: mean(r["seconds_taken"] for r in rows),
    "answers.count": lambda rows: sum(r["share"] is not None for r in rows),
    "answers.difficulty": lambda rows: mean(r["share"] for r in rows),
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
    "tickets.average_rating": lambda rows: mean(r["rating"] for r in rows),
    "course_days.days": len,
    "course_days.learners": lambda rows: len({r["student"] for r in rows}),
    "learning_days.days": len,
    "learning_days.learners": lambda rows: len({r["student"] for r in rows}),
}
OWN_DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "enrollments": ("status", "takes_part", "progress_band"),
    "attempts": ("quiz", "kind", "quiz_title", "is_submitted", "passed"),
    "answers": ("question", "question_kind", "quiz"),
    "submissions": ("is_late", "excused"),
    "discussions": ("discussion_type", "is_resolved"),
    "replies": ("is_chat", "is_solution"),
    "tickets": ("category", "status"),
}
COURSE_DIMENSIONS = ("uuid", "title", "status", "category", "level")
PEOPLE_DIMENSIONS = ("uuid", "role", "is_active", "time_zone")


class Oracle:
    """Answers a query by going over the rows of the school, one by one."""

    def __init__(self, school: School, teacher: UUID | None = None) -> None:
        self.school = school
        self.courses = {row["uuid"]: row for row in school.courses}
        self.users = {row["uuid"]: row for row in school.users}
        self.teacher = teacher
        """Whose courses are all that there is."""

    def teaches(self, course: Row | None) -> bool:
        if course is None:
            return False
        return course["instructor"] == self.teacher or str(self.teacher) in (course["instructors"] or [])

    def rows(self, fact: str) -> list[Row]:
        rows = self.school.rows[FACTS[fact][0]]
        if self.teacher:
            own = (row["uuid"] if fact == "courses" else row["course"] for row in rows)
            rows = [r for r, course in zip(rows, own, strict=True) if self.teaches(self.courses.get(course))]
        if fact == "completions":
            return [row for row in rows if row["status"] == "completed"]
        if fact == "certificates":
            return [row for row in rows if not row["revoked"]]
        if fact == "discussions":
            return [row for row in rows if not row["is_hidden"]]
        if fact == "replies":
            return [row for row in rows if not row["is_deleted"]]
        if fact == "answers":
            return [row | answer for row in rows for answer in row["questions"] or ()]
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
        return {
            key: {m: MEASURES[m](rows.get(m.partition(".")[0], [])) for m in asked["measures"]}
            for key, rows in self.grouped(asked).items()
        }

    def people(self, asked: Row) -> dict[tuple[Any, ...], dict[str, int | None]]:
        """How many people are in the groups, by fact; None of facts that have none."""
        return {
            key: {
                f: len({r[who] for r in rows}) if (who := FACTS[f][2]) else None for f, rows in facts.items()
            }
            for key, facts in self.grouped(asked).items()
        }

    def grouped(self, asked: Row) -> dict[tuple[Any, ...], dict[str, list[Row]]]:
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
        return found

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


def people_in(fact: str, rows: list[Row]) -> int | None:
    person = FACTS[fact][2]
    return len({row[person] for row in rows}) if person else None


COMPUTED: Mapping[str, Callable[[Row], Any]] = {
    "enrollments.takes_part": lambda r: r["status"] in TAKES_PART,
    "enrollments.progress_band": lambda r: (
        "completed" if r["status"] == "completed" else "in_progress" if r["progress"] > 0 else "not_started"
    ),
    "attempts.is_submitted": lambda r: r["submitted_at"] is not None,
    "submissions.is_late": lambda r: None if r["late_seconds"] is None else r["late_seconds"] > 0,
}
RENAMED = {"answers.question_kind": "kind", "attempts.quiz_title": "title", "people.joined_at": "date_joined"}


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
