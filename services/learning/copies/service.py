"""Quizzes, assignments and rules of a course, made again for a copy of it: one version and one event each.

Quizzes stay published or not and keep their dates, as assignments do: the copy itself is a draft, and its
teacher moves them. Nobody's work, extensions or groups are copied. Every id follows from the source's and the
new course's, so that an event that comes again finds everything there.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from libs.common.bus.received import Received
from libs.common.data.outbox import record
from libs.common.events.base import Event
from libs.common.events.catalog import CourseDuplicated
from libs.common.events.learning import (
    AssignmentCreated,
    CertificateTemplateChanged,
    CompletionRulesChanged,
    GradingPolicyChanged,
)
from libs.common.events.quizzes import QuestionBankCreated, QuizCreated, QuizPublished
from libs.common.runtime.trace import Trace
from services.learning.copies.rules import copied_id, copied_policy, copied_rules, renamed
from services.learning.gradebook.history import record_items
from services.learning.gradebook.items import quiz_totals
from services.learning.models import (
    Assignment,
    CertificateTemplate,
    CompletionRules,
    GradingPolicy,
    GradingPolicyVersion,
    Question,
    QuestionBank,
    Quiz,
)

TEMPLATE = ("title", "text", "signer_name", "signer_title", "accent_color", "logo", "signature")


async def on_course_duplicated(session: AsyncSession, batch: Sequence[Received[CourseDuplicated]]) -> None:
    """Copy what the source has; of copies of copies the older ones first."""
    for item in sorted(batch, key=lambda each: each.occurred_at):
        if item.event is not None:
            await CourseCopy(session, item.event, item.occurred_at, item.trace).run()


class CourseCopy:
    """One course's work on its way into a copy. `names` is what each id becomes."""

    def __init__(self, session: AsyncSession, event: CourseDuplicated, now: datetime, trace: Trace) -> None:
        self.session, self.now, self.trace = session, now, trace
        self.source, self.course = event.source, event.course
        self.actor = event.actor or event.instructor
        self.names = {str(each.source): str(each.copied) for each in event.lessons}

    async def run(self) -> None:
        policy = await self._policy_of_source()
        for group in policy.content.get("groups", []) if policy else ():
            self.names[group["uuid"]] = str(copied_id(UUID(group["uuid"]), self.course))
        await self._banks()
        await self._quizzes()
        await self._assignments()
        if policy is not None:
            await self._policy(policy)
        await self._rules()
        await self._template()

    def _named(self, source: UUID) -> UUID:
        copy = copied_id(source, self.course)
        self.names[str(source)] = str(copy)
        return copy

    def _record(self, event: Event, version: int) -> UUID:
        return record(self.session, event, version, trace=self.trace)

    async def _is_there(self, model: type[DeclarativeBase], uuid: UUID) -> bool:
        return await self.session.get(model, uuid) is not None

    async def _live(self, model: Any) -> Sequence[Any]:
        query = select(model).where(model.course == self.source, model.deleted_at.is_(None))
        return (await self.session.scalars(query.order_by(model.created_at, model.uuid))).all()

    def _again(self, row: Any, **changes: Any) -> Any:
        """A row like another, but for `changes`."""
        stored = {each.key: getattr(row, each.key) for each in row.__mapper__.column_attrs}
        return type(row)(**stored | changes)

    async def _questions(self, copy: UUID, **place: UUID) -> int:
        """Copy the questions of a quiz or a bank into `copy`; how many."""
        ((name, source),) = place.items()
        query = select(Question).where(getattr(Question, name) == source).order_by(Question.position)
        rows = (await self.session.scalars(query)).all()
        for row in rows:
            self.session.add(self._again(row, uuid=self._named(row.uuid), **{name: copy}))
        return len(rows)

    async def _banks(self) -> None:
        for bank in await self._live(QuestionBank):
            copy = self._named(bank.uuid)
            if await self._is_there(QuestionBank, copy):
                continue
            self.session.add(
                self._again(
                    bank, uuid=copy, course=self.course, version=1, created_at=self.now, updated_at=self.now
                )
            )
            await self.session.flush()
            count = await self._questions(copy, bank=bank.uuid)
            event = QuestionBankCreated(
                bank=copy, course=self.course, title=bank.title, question_count=count, actor=self.actor
            )
            self._record(event, 1)

    async def _quizzes(self) -> None:
        for quiz in await self._live(Quiz):
            uuid = self._named(quiz.uuid)
            if await self._is_there(Quiz, uuid):
                continue
            copy = self._again(
                quiz,
                uuid=uuid,
                course=self.course,
                lesson=self._lesson(quiz.lesson),
                pools=renamed(quiz.pools, self.names),
                version=2 if quiz.is_published else 1,
                published_at=self.now if quiz.is_published else None,
                created_at=self.now,
                updated_at=self.now,
            )
            self.session.add(copy)
            await self.session.flush()
            await self._questions(uuid, quiz=quiz.uuid)
            await self.session.flush()
            count, points = await quiz_totals(self.session, copy)
            names = ("course", "lesson", "title", "kind", "scoring", "opens_at", "closes_at")
            facts = {name: getattr(copy, name) for name in names} | {
                "quiz": uuid,
                "pass_mark": float(copy.pass_mark),
                "question_count": count,
                "max_score": float(points),
                "actor": self.actor,
            }
            self._record(QuizCreated(**facts, is_published=False), 1)
            if copy.is_published:
                self._record(QuizPublished(**facts, is_published=True), 2)
            await record_items(self.session, self.course, [uuid], self.now)

    def _lesson(self, source: UUID | None) -> UUID | None:
        """What a lesson became; None for one that the source has no more."""
        copied = self.names.get(str(source))
        return UUID(copied) if copied else None

    async def _assignments(self) -> None:
        for assignment in await self._live(Assignment):
            uuid = self._named(assignment.uuid)
            if await self._is_there(Assignment, uuid):
                continue
            for criterion in assignment.rubric:
                self._named(UUID(criterion["uuid"]))
            group = self.names.get(str(assignment.group))
            copy = self._again(
                assignment,
                uuid=uuid,
                course=self.course,
                lesson=self._lesson(assignment.lesson),
                rubric=renamed(assignment.rubric, self.names),
                teams=[],
                group=UUID(group) if group else None,
                version=1,
                created_at=self.now,
                updated_at=self.now,
            )
            self.session.add(copy)
            await self.session.flush()
            event = AssignmentCreated(
                assignment=uuid,
                course=self.course,
                lesson=copy.lesson,
                title=copy.title,
                points=float(copy.points),
                due_at=copy.due_at,
                closes_at=copy.closes_at,
                actor=self.actor,
            )
            self._record(event, 1)
            await record_items(self.session, self.course, [uuid], self.now)

    async def _policy_of_source(self) -> GradingPolicyVersion | None:
        policy: GradingPolicyVersion | None = await self.session.scalar(
            select(GradingPolicyVersion)
            .join(GradingPolicy, GradingPolicy.uuid == GradingPolicyVersion.policy)
            .where(GradingPolicy.course == self.source)
            .order_by(GradingPolicyVersion.number.desc())
            .limit(1)
        )
        return policy

    async def _policy(self, newest: GradingPolicyVersion) -> None:
        if await self._has(GradingPolicy):
            return
        uuid = self._named(newest.policy)
        self.session.add(GradingPolicy(uuid=uuid, course=self.course, version=1))
        await self.session.flush()
        event = GradingPolicyChanged(policy=uuid, course=self.course, number=1, actor=self.actor)
        self.session.add(
            GradingPolicyVersion(
                policy=uuid,
                number=1,
                content=copied_policy(newest.content, self.names, self.course),
                saved_at=self.now,
                saved_by=self.actor,
                event=self._record(event, 1),
            )
        )

    async def _has(self, model: Any) -> bool:
        """Whether the copy has its own already, be it by hand: that stays."""
        return await self.session.scalar(select(model.uuid).where(model.course == self.course)) is not None

    async def _of_source(self, model: Any) -> Any:
        return await self.session.scalar(select(model).where(model.course == self.source))

    async def _rules(self) -> None:
        rules = await self._of_source(CompletionRules)
        if rules is None or not rules.version or await self._has(CompletionRules):
            return
        uuid = self._named(rules.uuid)
        content = copied_rules(rules.content, self.names)
        self.session.add(CompletionRules(uuid=uuid, course=self.course, version=1, content=content))
        event = CompletionRulesChanged(rules=uuid, course=self.course, number=1, actor=self.actor)
        self._record(event, 1)

    async def _template(self) -> None:
        template = await self._of_source(CertificateTemplate)
        if template is None or not template.version or await self._has(CertificateTemplate):
            return
        uuid = self._named(template.uuid)
        self.session.add(self._again(template, uuid=uuid, course=self.course, version=1, updated_at=self.now))
        event = CertificateTemplateChanged(
            template=uuid, course=self.course, changed=TEMPLATE, actor=self.actor
        )
        self._record(event, 1)
