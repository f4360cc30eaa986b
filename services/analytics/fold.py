"""A read model as a query over the event log: the live projection and a rebuild fold by the same statements.

Each `Fold` names a table, the events that it is made of and what its columns are of one event `b` of the log.
Of several events with one key the last counts, and the sum of the columns in `add`. Columns that a fold does
not name are left to another fold of the table.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events import forum, identity, learning, quizzes, support
from libs.common.events.base import Event
from libs.common.events.catalog import CourseState
from services.analytics import read_models as m
from services.analytics import rules

AT = "b.occurred_at"
DAY = "(b.occurred_at AT TIME ZONE 'UTC')::date"
# Who did it: a fact names them by their part in it.
WHO = (
    "coalesce(b.payload->>'student', b.payload->>'author', b.payload->>'requester', b.payload->>'user')::uuid"
)


@dataclass(frozen=True)
class Fold:
    """`columns` by their expression; those in `fields` are fields of the payload, named alike.

    With `delete` the events are states, and a tombstone deletes the row of its key.
    """

    table: Table
    events: tuple[type[Event], ...]
    fields: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    add: tuple[str, ...] = ()
    where: str = "true"
    lateral: str = ""
    """What is joined to each event, one row of the table for each row of it."""
    delete: bool = False

    @cached_property
    def types(self) -> frozenset[str]:
        return frozenset(event.type for event in self.events)

    @cached_property
    def statements(self) -> list[str]:
        """With `{batch}` in place of the relation that holds the events."""
        values = {name: self._field(name) for name in self.fields} | self.columns
        keys = [column.name for column in self.table.primary_key]
        types = ", ".join(f"'{kind}'" for kind in sorted(self.types))
        source = f"FROM {{batch}} b {self.lateral} WHERE b.type IN ({types}) AND ({self.where})"
        names = ", ".join(f'"{name}"' for name in values)
        key = ", ".join(f'"{name}"' for name in keys)
        rest = [name for name in values if name not in keys]
        if self.delete:
            latest = f"SELECT DISTINCT ON (b.key) b.* {source} ORDER BY b.key, b.position DESC"
            chosen = f"SELECT {self._list(values)} FROM ({latest}) b WHERE b.payload IS NOT NULL"
        elif self.add:
            sums = {n: f"sum({v})" if n in self.add else v for n, v in values.items()}
            alike = ", ".join(value for name, value in values.items() if name not in self.add)
            chosen = f"SELECT {self._list(sums)} {source} GROUP BY {alike}"
        elif rest:
            on = ", ".join(values[k] for k in keys)
            chosen = f"SELECT DISTINCT ON ({on}) {self._list(values)} {source} ORDER BY {on}, b.position DESC"
        else:
            chosen = f"SELECT DISTINCT {self._list(values)} {source}"
        replaced = ", ".join(
            f'"{n}" = t."{n}" + excluded."{n}"' if n in self.add else f'"{n}" = excluded."{n}"' for n in rest
        )
        made = f"INSERT INTO {self.table.name} AS t ({names}) {chosen} ON CONFLICT ({key}) DO " + (
            f"UPDATE SET {replaced}" if rest else "NOTHING"
        )
        if not self.delete:
            return [made]
        gone = f"SELECT b.key::uuid FROM ({latest}) b WHERE b.payload IS NULL"
        return [f'DELETE FROM {self.table.name} WHERE "{keys[0]}" IN ({gone})', made]

    def _field(self, name: str) -> str:
        kind = self.table.c[name].type
        if isinstance(kind, JSONB):
            return f"b.payload->'{name}'"
        return f"(b.payload->>'{name}')::{m.SQL_TYPES[type(kind)]}"

    @staticmethod
    def _list(values: dict[str, str]) -> str:
        return ", ".join(f'{value} AS "{name}"' for name, value in values.items())


LEARNED: tuple[type[Event], ...] = (
    learning.LessonCompleted, learning.StudyTimeRecorded, quizzes.QuizStarted, quizzes.QuizSubmitted,
    learning.AssignmentSubmitted,
)  # fmt: skip
PRESENT: tuple[type[Event], ...] = (
    *LEARNED, identity.SessionStarted, learning.StudentEnrolled, forum.DiscussionStarted, forum.ReplyPosted,
    support.TicketOpened,
)  # fmt: skip
TICKETS: tuple[type[Event], ...] = (
    support.TicketOpened, support.TicketAssigned, support.TicketAnswered, support.TicketStatusChanged,
    support.TicketPriorityChanged, support.TicketResolved, support.TicketReopened, support.TicketClosed,
    support.TicketRated,
)  # fmt: skip
QUESTIONS = (
    "(SELECT jsonb_agg(jsonb_build_object('question', q->'question', 'share', q->'share', 'kind',"
    " coalesce(nullif(q->>'question_kind', ''), q->>'kind')) ORDER BY place)"
    " FROM jsonb_array_elements(b.payload->'questions') WITH ORDINALITY a(q, place))"
)
LESSONS = (
    "coalesce((SELECT jsonb_agg(jsonb_build_object('uuid', l->'uuid', 'title', l->'title', 'content_type',"
    " coalesce(nullif(l->>'lesson_type', ''), l->>'content_type')) ORDER BY place, seat)"
    " FROM jsonb_array_elements(b.payload->'modules') WITH ORDINALITY a(mod, place),"
    " jsonb_array_elements(mod->'lessons') WITH ORDINALITY c(l, seat)), '[]')"
)
FOLDS = [
    Fold(
        m.users, (identity.UserState,), ("uuid", "role", "is_active", "time_zone", "date_joined"), delete=True
    ),
    Fold(
        m.courses, (CourseState,),
        (
            "uuid", "title", "status", "instructor", "instructors", "level", "created_at", "published_at",
        ),
        {
            "category": "b.payload->'category'->>'name'",
            "lessons": LESSONS,
            "average_rating": "coalesce((b.payload->>'average_rating')::double precision, 0)",
            "reviews_count": "coalesce((b.payload->>'reviews_count')::integer, 0)",
        },
        delete=True,
    ),
    Fold(
        m.enrollments, (learning.EnrollmentState,),
        (
            "uuid", "course", "student", "status", "completed_lessons", "enrolled_at", "started_at",
            "completed_at", "last_accessed",
        ),
        {
            "progress": "(b.payload->>'progress_percentage')::double precision",
            "study_seconds": "coalesce((b.payload->>'study_seconds')::bigint, 0)",
            "points": "coalesce((b.payload->>'points')::bigint, 0)",
        },
        delete=True,
    ),
    Fold(
        m.lesson_completions, (learning.LessonCompleted,),
        ("enrollment", "lesson", "course", "student", "local_date"), {"completed_at": AT},
    ),
    Fold(
        m.lesson_visits, (learning.LessonCompleted, learning.StudyTimeRecorded),
        ("enrollment", "lesson", "course", "student"),
    ),
    Fold(
        m.study, (learning.StudyTimeRecorded,), ("student", "course", "local_date", "seconds"),
        add=("seconds",),
    ),
    # A heartbeat has played the seconds before its position; it comes once a minute or more often.
    Fold(
        m.media, (learning.StudyTimeRecorded,), ("lesson", "student", "course"),
        {"stretch": "stretch", "plays": "1::bigint"}, add=("plays",),
        lateral="CROSS JOIN LATERAL generate_series("
        "greatest((b.payload->>'position')::bigint - least((b.payload->>'seconds')::bigint, 60), 0)"
        f" / {rules.STRETCH}, greatest((b.payload->>'position')::bigint - 1, 0) / {rules.STRETCH}) stretch",
        where="b.payload->>'position' IS NOT NULL AND (b.payload->>'seconds')::bigint > 0",
    ),
    Fold(m.course_days, LEARNED, ("course", "student", "local_date")),
    Fold(m.learning_days, LEARNED, ("student", "local_date")),
    Fold(m.active_days, PRESENT, (), {"day": DAY, "user": WHO}),
    Fold(
        m.attempts, (quizzes.QuizStarted,),
        (
            "attempt", "number", "quiz", "kind", "title", "course", "lesson", "enrollment", "student",
            "local_date",
        ),
        {"started_at": AT},
    ),
    # Attempts name their quiz, too: those of before its own events were kept.
    Fold(
        m.quizzes,
        (quizzes.QuizCreated, quizzes.QuizChanged, quizzes.QuizPublished, quizzes.QuizStarted),
        ("quiz", "course", "title", "kind"),
    ),
    Fold(m.attempts, (quizzes.QuizSubmitted,), ("attempt", "seconds_taken"), {"submitted_at": AT}),
    Fold(
        m.attempts, (quizzes.QuizGraded,), ("attempt", "percentage", "passed", "score_visible"),
        {"questions": QUESTIONS},
    ),
    Fold(
        m.submissions, (learning.AssignmentSubmitted,),
        (
            "submission", "assignment", "title", "course", "enrollment", "student", "late_seconds",
            "local_date",
        ),
        {"submitted_at": AT},
    ),
    # A grade may be given without any work, so it says whose it is.
    Fold(
        m.submissions, (learning.SubmissionGraded,),
        ("submission", "assignment", "title", "course", "student", "percentage", "excused", "posted"),
    ),
    Fold(
        m.certificates, (learning.CertificateIssued,), ("certificate", "course", "student"),
        {"issued_at": AT, "revoked": "false"},
    ),
    # Revoked, or superseded by another one: it counts no more.
    Fold(
        m.certificates,
        (learning.CertificateIssued, learning.CertificateRevoked, learning.CertificateSuperseded),
        ("certificate",), {"revoked": f"b.type <> '{learning.CertificateIssued.type}'"},
    ),
    Fold(
        m.discussions, (forum.DiscussionStarted,), ("discussion", "course", "author", "discussion_type"),
        {"started_at": AT},
    ),
    Fold(
        m.discussions, (forum.DiscussionStarted, forum.DiscussionResolved, forum.DiscussionReopened),
        ("discussion",), {"is_resolved": f"b.type = '{forum.DiscussionResolved.type}'"},
    ),
    # A tombstone hides a discussion, a state after it shows it again.
    Fold(
        m.discussions, (forum.DiscussionState,), (),
        {"discussion": "b.key::uuid", "is_hidden": "b.payload IS NULL"},
    ),
    Fold(
        m.replies, (forum.ReplyPosted,),
        ("reply", "discussion", "course", "author", "is_chat", "is_instructor_reply"), {"posted_at": AT},
    ),
    Fold(
        m.replies, (forum.ReplyPosted, forum.SolutionMarked, forum.SolutionUnmarked), ("reply",),
        {"is_solution": f"b.type = '{forum.SolutionMarked.type}'"},
    ),
    Fold(
        m.replies, (forum.ReplyPosted, forum.ReplyUpvoted, forum.ReplyUpvoteWithdrawn), ("reply",),
        {"upvotes": "coalesce((b.payload->>'upvotes')::integer, 0)"},
    ),
    # Any fact of a ticket carries its whole small state.
    Fold(m.tickets, TICKETS, ("ticket", "requester", "course", "category", "priority", "status")),
    Fold(m.tickets, (support.TicketOpened,), ("ticket",), {"opened_at": AT}),
    Fold(
        m.tickets, (support.TicketAnswered,), ("ticket",), {"first_response_at": AT},
        where="(b.payload->>'is_first_response')::boolean",
    ),
    Fold(
        m.tickets, (support.TicketResolved, support.TicketReopened), ("ticket",),
        {"resolved_at": f"CASE WHEN b.type = '{support.TicketResolved.type}' THEN {AT} END"},
    ),
    Fold(m.tickets, (support.TicketRated,), ("ticket", "rating")),
    Fold(
        m.activities,
        (
            identity.SessionStarted, learning.StudentEnrolled, learning.LessonCompleted,
            learning.CourseCompleted, quizzes.QuizSubmitted, learning.AssignmentSubmitted,
            learning.CertificateIssued, forum.DiscussionStarted, forum.ReplyPosted, support.TicketOpened,
        ),
        ("course", "title"),
        {
            "event_id": "b.event_id",
            "user": WHO,
            "kind": f"CASE b.type WHEN '{identity.SessionStarted.type}' THEN 'login'"
            f" WHEN '{learning.StudentEnrolled.type}' THEN 'enrolled'"
            " ELSE split_part(b.type, '.', 2) END",
            "at": AT,
        },
        where="(b.payload->>'is_chat') IS DISTINCT FROM 'true'",
    ),
]  # fmt: skip
FOLDED = frozenset().union(*(fold.types for fold in FOLDS))


async def fold(
    session: AsyncSession, batch: str, kinds: Collection[str], folds: Sequence[Fold] = FOLDS, **values: Any
) -> None:
    """Bring the read models that the session uses on by the events in `batch`, a relation with the log's
    columns that holds events of these types; `values` are its parameters."""
    for entry in folds:
        if not entry.types.isdisjoint(kinds):
            for statement in entry.statements:
                await session.execute(text(statement.replace("{batch}", batch)), values)
