"""How the platform has been: measured once a minute, kept by day."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import floor
from typing import Any

import httpx
import orjson
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import SERVICES
from services.support.models import StatusDay

log = get_logger(__name__)

DAYS = 90
GATEWAY = "gateway"
PATIENCE = 5.0

# Once a minute for each part, however many workers measure: the first of a minute counts.
COUNT = text(
    "INSERT INTO status_days (day, component, checks, good, counted_at)"
    " SELECT CAST(:day AS date), part.name, 1, part.good, :minute"
    " FROM jsonb_to_recordset(CAST(:parts AS jsonb)) AS part(name text, good int) ORDER BY part.name"
    " ON CONFLICT (component, day) DO UPDATE SET checks = status_days.checks + 1,"
    " good = status_days.good + excluded.good, counted_at = excluded.counted_at"
    " WHERE status_days.counted_at < excluded.counted_at"
)


async def ask(url: str) -> dict[str, bool]:
    """Whether each part is well. Of a gateway that does not answer nothing more is known."""
    try:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.get(url)
        states = answer.raise_for_status().json()["services"]
        return {GATEWAY: True} | {name: states[name] == "ok" for name in SERVICES if name in states}
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        log.warning("status_not_seen", error=repr(error)[:200])
        return {GATEWAY: False}


async def count(session: AsyncSession, parts: Mapping[str, bool], now: datetime) -> None:
    """Add one measurement to the day, and forget what is older than is shown."""
    minute = now.replace(second=0, microsecond=0)
    rows = [{"name": name, "good": int(good)} for name, good in parts.items()]
    values = {"day": now.date(), "minute": minute, "parts": orjson.dumps(rows).decode()}
    await session.execute(COUNT, values)
    await session.execute(delete(StatusDay).where(StatusDay.day <= (now - timedelta(days=DAYS)).date()))


def uptime(checks: int, good: int) -> float | None:
    """Per cent, cut off and not rounded: 100 means that nothing was ever missed."""
    return floor(good * 10_000 / checks) / 100 if checks else None


async def history(session: AsyncSession, now: datetime) -> dict[str, Any]:
    """Every part with the days that were measured, oldest first."""
    first = (now - timedelta(days=DAYS)).date()
    days = await session.scalars(
        select(StatusDay).where(StatusDay.day > first).order_by(StatusDay.component, StatusDay.day)
    )
    found: dict[str, list[StatusDay]] = {name: [] for name in (GATEWAY, *SERVICES)}
    for day in days:
        found.setdefault(day.component, []).append(day)
    return {
        "days": DAYS,
        "components": [
            {
                "name": name,
                "uptime": uptime(sum(day.checks for day in measured), sum(day.good for day in measured)),
                "history": measured,
            }
            for name, measured in found.items()
        ],
    }
