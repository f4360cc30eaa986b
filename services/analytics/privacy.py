"""What analytics holds of a person, and what becomes of it.

Names and addresses are never kept here. What people did stays under the bare id, so that statistics hold; the
row of the user goes with the tombstone. In the log the states of an erased user lose language and time zone:
the fold stays the same, for the tombstone ends it. The lake follows within minutes (`lake/tasks.py`).
"""

from uuid import UUID

import orjson
from sqlalchemy import Table, case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import enqueue
from libs.common.events.analytics import ExportPartFailed, ExportPartPacked, PersonErased
from libs.common.events.identity import UserState
from libs.common.privacy.content import PersonalData, rows_of
from libs.common.privacy.parts import Erasure, Privacy
from services.analytics import read_models as p
from services.analytics.models import Export, LakeErasure, PrivacyPart
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
        | {"exports": await rows_of(session, EXPORTS.where(Export.owner == user))}
    )


async def erase(erasure: Erasure) -> None:
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
