"""Bodies of exports and erasures (api.md §1, §2)."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, StringConstraints

from libs.common.web.schemas import Answer, Body, Identifier, Moment, PlainText, Stripped, Uri
from services.identity.schemas import Password


class ErasureRequest(Body):
    """Who erases their account proves once more who they are."""

    model_config = Body.model_config | ConfigDict(
        json_schema_extra={"examples": [{"password": "Learn-together-1"}]}
    )

    password: Password
    otp: Annotated[Identifier, StringConstraints(max_length=64), Stripped] | None = None


class ServiceSummary(Answer):
    """What one service has said of the job; `rows` is how many it packed, or deleted and changed."""

    service: Identifier
    acknowledged_at: Moment | None
    rows: int | None


class JobRead(Answer):
    """An export or an erasure. `result_url` leads to the archive for its owner's session alone."""

    uuid: UUID
    kind: Literal["export", "erasure"]
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    percent: int
    eta_seconds: int | None
    result_url: Uri | None
    expires_at: Moment | None
    error: PlainText | None
    created_at: Moment
    services: list[ServiceSummary]
