"""What a gradebook is made of, at any moment: the policy, the items, the learners and their newest grades."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.tables import is_any_of
from services.learning.gradebook import rules
from services.learning.gradebook.history import closes_at, items_at, learners_at
from services.learning.gradebook.items import ItemFact, items_now
from services.learning.gradebook.schemas import GradingPolicyUpdate
from services.learning.models import GradeRecord, GradingPolicy, GradingPolicyVersion, Submission, User
from services.learning.windows import is_visible, latest_close


@dataclass(frozen=True, slots=True)
class SavedPolicy:
    """The policy at a moment; `uuid` None: none was saved by then, and the default holds."""

    uuid: UUID | None
    version: int
    body: GradingPolicyUpdate
    event: UUID | None = None
    """The published fact of this version; null for those that are older than this record."""
    terms: rules.Policy = field(init=False)
    """The same for grading."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", self.body.policy())


@dataclass(frozen=True, slots=True)
class GradeItem:
    """An item with what is not the rules' business. `shows` is when a quiz's policy shows scores."""

    item: rules.Item
    kind: str
    due_at: datetime | None
    posted: bool
    shows: str | None = None

    def for_learner(self, extended: datetime | None, as_of: datetime) -> "GradeItem":
        """As it is for somebody whose quiz closes later."""
        due_at = latest_close(self.due_at, extended)
        if self.shows is None or due_at == self.due_at:
            return self
        return replace(self, due_at=due_at, posted=is_visible(self.shows, due_at, as_of))


@dataclass(frozen=True, slots=True)
class RecordedGrade:
    """A grade for an item, the raw score that it came from, and the event that says so."""

    item_grade: rules.ItemGrade
    raw: Decimal | None
    late_seconds: int
    event: UUID | None


@dataclass(frozen=True, slots=True)
class CourseGrades:
    """The grades of a course at a moment, by learner, in the order of the items."""

    policy: SavedPolicy
    items: list[GradeItem]
    names: dict[UUID, str]
    item_grades: dict[UUID, list[RecordedGrade]]


async def policy_at(session: AsyncSession, course: UUID, moment: datetime) -> SavedPolicy:
    row = (
        await session.execute(
            select(GradingPolicyVersion)
            .join(GradingPolicy, GradingPolicy.uuid == GradingPolicyVersion.policy)
            .where(GradingPolicy.course == course, GradingPolicyVersion.saved_at <= moment)
            .order_by(GradingPolicyVersion.number.desc())
            .limit(1)
        )
    ).scalar_one_or_none()
    if row is None:
        return SavedPolicy(None, 0, GradingPolicyUpdate())
    return SavedPolicy(row.policy, row.number, GradingPolicyUpdate.model_validate(row.content), row.event)


async def load_grades(
    session: AsyncSession,
    course: UUID,
    now: datetime,
    *,
    as_of: datetime | None = None,
    items_as_of: datetime | None = None,
    student: UUID | None = None,
    policy: GradingPolicyUpdate | None = None,
    posted_only: bool = False,
) -> CourseGrades:
    """All learners of a course, or one; under another policy than the saved one if one is given.

    `as_of` takes everything as it was then; `items_as_of` only the items that were there then. With
    `posted_only` what a learner may not see yet is as if it were not graded. For one learner, items are due
    when they are for them.
    """
    moment = as_of or now
    saved = await policy_at(session, course, moment)
    if policy is not None:
        saved = SavedPolicy(saved.uuid, saved.version, policy, saved.event)
    past = as_of or items_as_of
    facts = await items_now(session, course) if past is None else await items_at(session, course, past)
    if as_of is None and past is not None:
        facts |= {uuid: fact for uuid, fact in (await items_now(session, course)).items() if uuid in facts}
    items = _items(facts, moment, saved.body)
    learners = await learners_at(session, course, as_of)
    names = await _names(session, learners if student is None else learners & {student})
    newest = await _newest_records(session, course, as_of, student)
    if posted_only:
        hidden = {item.item.uuid for item in items if not item.posted}
        for key in await _without_work(session, hidden):
            newest.pop(key, None)
    later = await closes_at(session, course, as_of)
    item_grades = {
        learner: [
            _recorded_grade(
                item.for_learner(later.get((item.item.uuid, learner)), moment),
                newest.get((item.item.uuid, learner)),
                saved,
                moment,
                posted_only,
            )
            for item in items
        ]
        for learner in names
    }
    if student is not None:
        items = [item.for_learner(later.get((item.item.uuid, student)), moment) for item in items]
    return CourseGrades(saved, items, names, item_grades)


def _items(facts: dict[UUID, ItemFact], moment: datetime, policy: GradingPolicyUpdate) -> list[GradeItem]:
    """What of them shows at `moment`, in the groups of the policy."""
    placed = {item: group.uuid for group in policy.groups for item in group.items}
    extra = set(policy.extra_credit)
    return [
        GradeItem(
            rules.Item(
                uuid, fact.title, fact.points, placed.get(uuid, fact.group),
                fact.extra_credit or uuid in extra,
            ),
            fact.kind,
            fact.due_at,
            fact.posted if fact.shows is None else is_visible(fact.shows, fact.due_at, moment),
            fact.shows,
        )
        for uuid, fact in facts.items()
    ]  # fmt: skip


async def _names(session: AsyncSession, learners: set[UUID]) -> dict[UUID, str]:
    """In the order of the names."""
    rows = await session.execute(select(User.uuid, User.full_name).where(is_any_of(User.uuid, learners)))
    known: dict[UUID, str] = {user: name for user, name in rows}
    return {user: known.get(user, "") for user in sorted(learners, key=lambda u: (known.get(u, ""), u))}


async def emails_of(session: AsyncSession, users: Iterable[UUID]) -> dict[UUID, str]:
    rows = await session.execute(select(User.uuid, User.email).where(is_any_of(User.uuid, set(users))))
    return {user: email for user, email in rows}


async def _without_work(session: AsyncSession, assignments: set[UUID]) -> list[tuple[UUID, UUID]]:
    """By assignment and learner, grades without a submission: as long as one is hidden, it does not show at
    all."""
    rows = await session.execute(
        select(Submission.assignment, Submission.student).where(
            Submission.assignment.in_(assignments), Submission.number == 0
        )
    )
    return [(assignment, student) for assignment, student in rows]


class _Record(NamedTuple):
    """A row of the history of grades: plain, because a class has thousands."""

    item: UUID
    student: UUID
    status: str
    score: Decimal | None
    points: Decimal
    late_seconds: int
    event: UUID | None


async def _newest_records(
    session: AsyncSession, course: UUID, as_of: datetime | None, student: UUID | None
) -> dict[tuple[UUID, UUID], _Record]:
    # By id: it is given under the locks of learner and work; the time is the request's, before them.
    query = (
        select(*(getattr(GradeRecord, name) for name in _Record._fields))
        .where(GradeRecord.course == course)
        .ext(distinct_on(GradeRecord.item, GradeRecord.student))
        .order_by(GradeRecord.item, GradeRecord.student, GradeRecord.id.desc())
    )
    if as_of is not None:
        query = query.where(GradeRecord.at <= as_of)
    if student is not None:
        query = query.where(GradeRecord.student == student)
    return {(row[0], row[1]): _Record(*row) for row in await session.execute(query)}


def _recorded_grade(
    item: GradeItem, recorded: _Record | None, policy: SavedPolicy, as_of: datetime, posted_only: bool
) -> RecordedGrade:
    # That somebody is excused from a quiz, they are told anyhow.
    tells = ("graded",) if item.kind == "quiz" else ("graded", "excused")
    if recorded is not None and recorded.status in tells and posted_only and not item.posted:
        return RecordedGrade(rules.ItemGrade(item.item, "submitted"), None, recorded.late_seconds, None)
    status = rules.status_of(
        graded=recorded is not None and recorded.status == "graded",
        excused=recorded is not None and recorded.status == "excused",
        submitted=recorded is not None and recorded.status == "submitted",
        due_at=item.due_at,
        now=as_of,
    )
    if recorded is None or recorded.score is None:
        item_grade = rules.ItemGrade(item.item, status)
        return RecordedGrade(item_grade, None, 0, recorded.event if recorded is not None else None)
    # A quiz may have drawn other questions for this learner: what was possible for them counts.
    shaped = rules.Item(
        item.item.uuid, item.item.title, recorded.points, item.item.group, item.item.extra_credit
    )
    late = policy.terms.late
    earned = rules.after_lateness(Fraction(recorded.score), recorded.points, recorded.late_seconds, late)
    return RecordedGrade(
        rules.ItemGrade(shaped, status, earned), recorded.score, recorded.late_seconds, recorded.event
    )
