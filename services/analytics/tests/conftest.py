"""Analytics in-process, fed with events as other services publish them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from conftest import OpenHarness
from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Record
from libs.common.events import forum, learning, quizzes, support
from libs.common.events.base import Event, State
from libs.common.runtime.clock import system_clock
from libs.common.testing.harness import Harness, Person, as_record
from libs.common.testing.states import course_state, enrollment_state, module_state, user_state


@dataclass
class Story:
    """Builds events with the right sequence numbers and applies them in one batch."""

    service: Harness
    now: datetime = field(default_factory=system_clock)
    records: list[Record] = field(default_factory=list)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, event: Event, *, days_ago: float = 0) -> Event:
        place = (event.topic, event.key)
        self.versions[place] = self.versions.get(place, 0) + 1
        at = self.now - timedelta(days=days_ago)
        self.records.append(as_record(event, self.versions[place], at))
        return event

    def bury(self, state: State) -> None:
        """A tombstone after the newest version of this state."""
        place = (state.topic, state.key)
        self.versions[place] = self.versions.get(place, 0) + 1
        self.records.append(replace(as_record(state, self.versions[place], self.now), value=None))

    async def tell(self) -> None:
        await apply_batch(self.service.db, self.service.subscription, self.records)
        self.records.clear()

    def user(
        self, person: Person | UUID, role: str = "student", *, days_ago: float = 0, zone: str = "UTC"
    ) -> None:
        uuid = person if isinstance(person, UUID) else person.uuid
        state = user_state(
            uuid,
            "Canary Name",
            role,
            email="secret@lectern.example",
            bio="canary-bio",
            time_zone=zone,
            date_joined=self.now - timedelta(days=days_ago),
        )
        self.add(state)

    def course(
        self, uuid: UUID, teacher: UUID, lessons: int = 4, status: str = "published", **fields: Any
    ) -> list[UUID]:
        ids = [UUID(int=uuid.int ^ (number + 1)) for number in range(lessons)]
        values: dict[str, Any] = {
            "title": "Algebra",
            "category": {"uuid": uuid4(), "name": "Mathematics", "slug": "mathematics"},
            "instructors": (),
            "modules": (module_state(*ids, points=0),),
            "created_at": self.now,
            "updated_at": self.now,
            "published_at": self.now,
        }
        self.add(course_state(uuid, teacher, status=status, **values | fields))
        return ids

    def enrol(self, student: UUID, course: UUID, *, days_ago: float = 0) -> UUID:
        enrollment = uuid4()
        self.add(
            learning.StudentEnrolled(enrollment=enrollment, course=course, student=student), days_ago=days_ago
        )
        self.progress(enrollment, student, course, [], 0, status="enrolled", days_ago=days_ago)
        return enrollment

    def progress(
        self, enrollment: UUID, student: UUID, course: UUID, done: list[UUID], percentage: float,
        status: str = "in_progress", *, days_ago: float = 0,
    ) -> None:  # fmt: skip
        at = self.now - timedelta(days=days_ago)
        state = enrollment_state(
            course,
            student,
            status,
            uuid=enrollment,
            progress_percentage=percentage,
            completed_lessons=tuple(done),
            enrolled_at=at,
            started_at=at if done else None,
            completed_at=at if status == "completed" else None,
            last_accessed=at,
        )
        self.add(state, days_ago=days_ago)

    def lesson(
        self,
        enrollment: UUID,
        student: UUID,
        course: UUID,
        done: list[UUID],
        total: int,
        *,
        days_ago: float = 0,
    ) -> None:
        """The last of `done` is the lesson that is completed now."""
        percentage = 100 * len(done) / total
        self.add(
            learning.LessonCompleted(
                enrollment=enrollment, course=course, student=student, lesson=done[-1],
                progress_percentage=percentage, completed_lessons=len(done), total_lessons=total,
                local_date=(self.now - timedelta(days=days_ago)).date(),
            ),
            days_ago=days_ago,
        )  # fmt: skip
        status = "completed" if len(done) == total else "in_progress"
        self.progress(enrollment, student, course, done, percentage, status, days_ago=days_ago)

    def quiz(
        self, student: UUID, course: UUID, percentage: float, *, quiz: UUID | None = None,
        visible: bool = True,
        shares: tuple[float, ...] = (), question_ids: tuple[UUID, ...] = (),
    ) -> None:  # fmt: skip
        facts = {
            "attempt": uuid4(), "number": 1, "quiz": quiz or uuid4(), "kind": "graded", "title": "Quiz",
            "course": course, "lesson": None, "enrollment": uuid4(), "student": student,
        }  # fmt: skip
        today = self.now.date()
        self.add(quizzes.QuizStarted(**facts, deadline=None, local_date=today))
        self.add(quizzes.QuizSubmitted(**facts, by_deadline=False, seconds_taken=60, local_date=today))
        self.add(
            quizzes.QuizGraded(
                **facts, score=percentage / 10, max_score=10, percentage=percentage, passed=percentage >= 50,
                is_regrade=False, score_visible=visible,
                questions=tuple(
                    quizzes.QuestionResult(question=q, kind="numeric", score=s / 100, points=1, share=s)
                    for q, s in zip(question_ids, shares, strict=True)
                ),
            )
        )  # fmt: skip

    def begin_quiz(self, student: UUID, course: UUID, *, attempt: UUID, quiz: UUID) -> None:
        self.add(
            quizzes.QuizStarted(
                attempt=attempt, number=1, quiz=quiz, kind="graded", title="Quiz", course=course, lesson=None,
                enrollment=uuid4(), student=student, deadline=None, local_date=self.now.date(),
            )
        )  # fmt: skip

    def study(
        self, student: UUID, course: UUID, seconds: int, *, days_ago: int = 0, lesson: UUID | None = None,
        position: int | None = None,
    ) -> None:  # fmt: skip
        self.add(
            learning.StudyTimeRecorded(
                enrollment=uuid4(),
                course=course,
                student=student,
                lesson=lesson or uuid4(),
                seconds=seconds,
                position=position,
                local_date=(self.now - timedelta(days=days_ago)).date(),
            ),
            days_ago=days_ago,
        )

    def discussion(self, author: UUID, course: UUID) -> UUID:
        uuid = uuid4()
        self.add(
            forum.DiscussionStarted(
                discussion=uuid, forum=uuid4(), course=course, author=author, discussion_type="question",
                mentions=(),
            )
        )  # fmt: skip
        return uuid

    def ticket(self, requester: UUID, *kinds: Any, status: str = "open") -> None:
        facts = {
            "ticket": uuid4(), "number": "T-1", "requester": requester, "assigned_to": None, "course": None,
            "category": "general", "priority": "low", "status": status, "actor": requester,
        }  # fmt: skip
        kind: Any
        for kind in (support.TicketOpened, *kinds):
            self.add(kind(**facts))


@pytest.fixture
async def analytics(open_service: OpenHarness) -> Harness:
    return await open_service("analytics")


@pytest.fixture
def story(analytics: Harness) -> Story:
    return Story(analytics, datetime.now(UTC))


async def scalar(harness: Harness, query: str) -> Any:
    async with harness.db.sessions() as session:
        return await session.scalar(text(query))
