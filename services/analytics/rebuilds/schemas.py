"""Answers about rebuilds."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from libs.common.web.schemas import Answer, Identifier, Moment, PlainText, Uri


class RebuildRead(Answer):
    """A rebuild as a job. `events` were folded; where tables are `differing`, nothing was swapped."""

    uuid: UUID
    kind: Literal["analytics_rebuild"] = "analytics_rebuild"
    status: Literal["queued", "running", "done", "failed"]
    percent: int = Field(ge=0, le=100)
    eta_seconds: int | None
    result_url: Uri | None = None
    error: PlainText | None
    created_at: Moment
    ended_at: Moment | None
    events: int | None
    differing: list[Identifier]
