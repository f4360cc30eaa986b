"""What analytics holds of a person, and what becomes of it.

Names and addresses are never kept here. What people did stays under the bare id, so that statistics hold; the
row of the user goes with the tombstone. In the log the states of an erased user lose language and time zone:
the fold stays the same, for the tombstone ends it. The lake follows within minutes (`lake/tasks.py`).
"""

from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Table, Text, case, cast, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import enqueue
from libs.common.events.analytics import ExportPartFailed, ExportPartPacked, PersonErased
from libs.common.events.identity import UserState
from libs.common.privacy.content import PersonalData, rows_of
from libs.common.privacy.parts import Erasure, Privacy
from services.analytics import read_models as p
from services.analytics.models import (
    Export,
    LakeErasure,
    PrivacyPart,
    Reader,
    Report,
    ReportFile,
    ReportLetter,
    ReportRun,
)
from services.analytics.projection import use_live

# Which column of which read model says who it is.
PEOPLE: dict[Table, str] = {
    p.users: "uuid",
    p.enrollments: "student",
    p.lesson_completions: "student",
    p.attempts: "student",
    p.submissions: "student",
    p.study: "student",
    p.lesson_visits: "student",
    p.media: "student",
    p.course_days: "student",
    p.learning_days: "student",
    p.active_days: "user",
    p.certificates: "student",
    p.discussions: "author",
    p.replies: "author",
    p.tickets: "requester",
    p.activities: "user",
}
REPORTS = select(
    Report.name, Report.asked, Report.format, Report.cron, Report.time_zone, Report.created_at
)  # fmt: skip
RECEIVED = select(
    Report.name, ReportRun.due_at, ReportRun.ended_at, ReportRun.as_of
).join(Report)  # fmt: skip
BLANK_STATE = {"locale": "", "time_zone": "UTC"}
"""What takes the place of these in the logged states of somebody who is erased; in the lake, too."""
EXPORTS = select(Export.uuid, Export.asked, Export.format, Export.status, Export.created_at)
BLANK = text(
    "UPDATE analytics.event_log SET payload = payload || CAST(:blank AS jsonb)"
    " WHERE topic = :topic AND key = :key AND payload IS NOT NULL"
)


async def gather(session: AsyncSession, user: UUID) -> PersonalData:
    """Every row of the read models; the log behind them holds the same facts."""
    await use_live(session)
    return PersonalData(
        {
            str(table.name): await rows_of(session, select(table).where(table.c[column] == user))
            for table, column in PEOPLE.items()
        }
        | {
            "exports": await rows_of(session, EXPORTS.where(Export.owner == user)),
            "account": await rows_of(session, select(Reader).where(Reader.uuid == user)),
            "reports": await rows_of(session, REPORTS.where(Report.owner == user)),
            "reports_received": await rows_of(session, RECEIVED.where(_mentions(ReportRun, user, "mailed"))),
        }
    )


def _mentions(table: type[ReportRun], user: UUID, outcome: str | None = None) -> ColumnElement[bool]:
    return table.recipients.contains([{"user": str(user)} | ({"outcome": outcome} if outcome else {})])


async def _erase_reports(erasure: Erasure) -> None:
    """Their own reports go, and they from those of others. The sweep deletes the files and letters."""
    user, now = erasure.user, func.now()
    theirs = select(ReportRun.uuid).join(Report).where(Report.owner == user)
    await erasure.run(
        update(ReportFile)
        .where((ReportFile.reader == user) | ReportFile.run.in_(theirs))
        .values(expires_at=now, letters_until=now)
    )
    await erasure.run(update(ReportLetter).where(ReportLetter.user == user).values(expires_at=now))
    await erasure.run(delete(Report).where(Report.owner == user))
    await erasure.run(
        update(Report)
        .where(Report.recipients.contains([str(user)]))
        .values(recipients=Report.recipients.op("-")(cast(str(user), Text)))
    )
    without = (
        "SELECT coalesce(jsonb_agg(each), '[]') FROM jsonb_array_elements(recipients) each"
        " WHERE each->>'user' <> :erased"
    )
    await erasure.run(
        update(ReportRun)
        .where(_mentions(ReportRun, user))
        .values(recipients=text(f"({without})").bindparams(erased=str(user)))
    )
    await erasure.run(delete(Reader).where(Reader.uuid == user))


async def erase(erasure: Erasure) -> None:
    await _erase_reports(erasure)
    # The sweep deletes the files of what has expired.
    await erasure.run(
        update(Export)
        .where(Export.owner == erasure.user)
        .values(
            asked={},
            manifest=None,
            expires_at=func.now(),
            status=case((Export.status.in_(("queued", "running")), "cancelled"), else_=Export.status),
        )
    )
    await erasure.run(
        BLANK.bindparams(
            blank=orjson.dumps(BLANK_STATE).decode(), topic=UserState.topic, key=str(erasure.user)
        )
    )
    # In one transaction with it: whoever reads the log for the lake has read it before, or blank.
    waiting = insert(LakeErasure).values(user=erasure.user, requested_at=func.now())
    await erasure.session.execute(waiting.on_conflict_do_nothing())
    enqueue(erasure.session, "analytics.erase_in_lake")


PRIVACY = Privacy("analytics", PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, erase)
