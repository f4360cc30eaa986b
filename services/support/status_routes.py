"""HTTP of the history of availability, for everybody."""

from typing import Any

from fastapi import APIRouter, Response

from libs.common.data.db import SessionDep
from libs.common.web.clock import Now
from services.support import status
from services.support.schemas import StatusHistory

router = APIRouter(prefix="/api/status", tags=["status"])


@router.get("/history/", response_model=StatusHistory)
async def get_status_history(session: SessionDep, response: Response, now: Now) -> Any:
    """How the parts of the platform have been on each of the last ninety days, measured once a minute."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return await status.history(session, now)
