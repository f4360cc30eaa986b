"""CompleteLesson lessons below the ORM, those of one moment together: every learner does it all day.

Who cannot simply complete one (no seat, another revision, work left, the last lesson of the course) goes the
way of `service`, which says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.data.db import Direct, as_json
from libs.common.runtime.trace import Trace, tracing
from services.learning.access import EnrolledLearner
from services.learning.enrollments.rules import progress
from services.learning.enrollments.state import Completion, add_completed
from services.learning.lessons.schemas import LessonCompletion
from services.learning.models import ENROLLED, Enrollment

SEATS = """
SELECT w.place, e.uuid, e.version, e.course, e.student, e.status, e.revision, e.completed_lessons,
 e.progress_percentage, e.enrolled_at, e.started_at, e.completed_at, e.study_seconds, e.points,
 c.revision, c.lessons, c.points, u.time_zone, u.full_name, r.uuid IS NOT NULL,
 EXISTS (SELECT 1 FROM quizzes q WHERE q.lesson = w.lesson AND q.course = e.course AND q.is_published
  AND q.deleted_at IS NULL)
 OR EXISTS (SELECT 1 FROM assignments a WHERE a.lesson = w.lesson AND a.course = e.course
  AND a.deleted_at IS NULL)
FROM unnest(%(courses)s::uuid[], %(students)s::uuid[], %(lessons)s::uuid[])
  WITH ORDINALITY AS w(course, student, lesson, place)
 JOIN enrollments e ON e.course = w.course AND e.student = w.student
 JOIN courses c ON c.uuid = e.course LEFT JOIN users u ON u.uuid = e.student
 LEFT JOIN completion_rules r ON r.course = e.course
ORDER BY w.place FOR NO KEY UPDATE OF e SKIP LOCKED
"""
# One JSON parameter: to bind many columns costs more than to parse it.
STORE = """
WITH done AS (SELECT * FROM ROWS FROM (json_to_recordset(%(done)s::json) AS (enrollment uuid, lesson uuid,
  student uuid, completed_at timestamptz, points int, local_date date))
  WITH ORDINALITY AS d(enrollment, lesson, student, completed_at, points, local_date, place)),
 seat AS (UPDATE enrollments e SET version = s.version, status = s.status,
  completed_lessons = e.completed_lessons || s.lessons, progress_percentage = s.progress_percentage,
  started_at = s.started_at, last_accessed = s.last_accessed, points = s.points
  FROM json_to_recordset(%(seats)s::json) AS s(uuid uuid, version int8, status text, lessons uuid[],
   progress_percentage numeric, started_at timestamptz, last_accessed timestamptz, points int)
  WHERE e.uuid = s.uuid),
 lesson AS (INSERT INTO lesson_progress (enrollment, lesson, student, completed_at, points)
  SELECT enrollment, lesson, student, completed_at, points FROM done ORDER BY enrollment, lesson
  ON CONFLICT (enrollment, lesson)
  DO UPDATE SET completed_at = excluded.completed_at, points = excluded.points)
INSERT INTO study_days (student, local_date) SELECT DISTINCT student, local_date FROM done
 ORDER BY student, local_date ON CONFLICT DO NOTHING
"""
FIELDS = (
    "uuid", "version", "course", "student", "status", "revision", "completed_lessons", "progress_percentage",
    "enrolled_at", "started_at", "completed_at", "study_seconds", "points",
)  # fmt: skip
CHANGED = ("uuid", "version", "status", "progress_percentage", "started_at", "last_accessed", "points")


@dataclass(frozen=True, slots=True, eq=False)
class CompleteLesson:
    """A request to complete a lesson."""

    student: UUID
    course: UUID
    lesson: UUID
    now: datetime
    trace: Trace


async def complete_together(
    transaction: Direct, wanted: Sequence[CompleteLesson]
) -> dict[CompleteLesson, tuple[LessonCompletion, set[str]]]:
    """Complete lessons, and answer for those that are completed now or were before.

    Waits for no seat: who is left out is locked, or not that simple.
    """
    asked = await transaction.connection.execute(
        SEATS,
        {
            "courses": [one.course for one in wanted],
            "students": [one.student for one in wanted],
            "lessons": [one.lesson for one in wanted],
        },
    )
    enrollments: dict[UUID, Enrollment] = {}
    done: list[tuple[CompleteLesson, Enrollment, Completion]] = []
    answers = {}
    for (
        place,
        *fields,
        revision,
        lessons,
        points,
        time_zone,
        name,
        has_rules,
        has_work,
    ) in await asked.fetchall():
        one = wanted[place - 1]
        enrollment = enrollments.get(fields[0])
        if enrollment is None:
            enrollment = enrollments[fields[0]] = Enrollment(**dict(zip(FIELDS, fields, strict=True)))
        learner = EnrolledLearner(enrollment, revision, lessons, points, time_zone, name, has_rules)
        keys: set[str] = set()
        if enrollment.status not in ENROLLED or one.lesson not in lessons:
            continue
        if one.lesson not in enrollment.completed_lessons:
            if has_work or not _stays_open(learner, one.lesson):
                continue
            with tracing(one.trace):
                done.append((one, enrollment, add_completed(transaction, learner, one.lesson, one.now)))
            keys = {str(enrollment.uuid)}
        answers[one] = show_completion(enrollment), keys
    if done:
        await transaction.connection.execute(STORE, _rows(done))
    return answers


def show_completion(enrollment: Enrollment) -> LessonCompletion:
    return LessonCompletion(
        progress_percentage=float(enrollment.progress_percentage),
        course_completed=enrollment.status == "completed",
    )


def _stays_open(learner: EnrolledLearner, lesson: UUID) -> bool:
    """Whether the course is not completed by this lesson, or was before."""
    enrollment = learner.enrollment
    if enrollment.status == "completed":
        return True
    if learner.has_rules:
        return False
    completed = [*enrollment.completed_lessons, lesson]
    return enrollment.revision == learner.revision and not progress(completed, learner.lessons).is_complete


def _rows(done: Sequence[tuple[CompleteLesson, Enrollment, Completion]]) -> dict[str, str]:
    added: dict[UUID, list[UUID]] = {}
    for one, enrollment, _ in done:
        added.setdefault(enrollment.uuid, []).append(one.lesson)
    changed = {enrollment.uuid: enrollment for _, enrollment, _ in done}
    learners = [
        {name: getattr(enrollment, name) for name in CHANGED} | {"lessons": added[uuid]}
        for uuid, enrollment in changed.items()
    ]
    lessons = [
        {
            "enrollment": enrollment.uuid,
            "lesson": one.lesson,
            "student": one.student,
            "completed_at": one.now,
            "points": completion.points,
            "local_date": completion.day,
        }
        for one, enrollment, completion in done
    ]
    return {"seats": as_json(learners), "done": as_json(lessons)}
