"""What a report is of, before it has a form: numbers, charts (Chart.js) and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.tokens import Principal
from libs.common.web.paging import Paging
from libs.common.web.zones import zone as zone_of
from services.analytics.access import access_course
from services.analytics.charts import COLORS
from services.analytics.dashboards.course import course_dashboard
from services.analytics.dashboards.platform import platform_dashboard
from services.analytics.dashboards.student import student_dashboard
from services.analytics.dashboards.teacher import teacher_dashboard
from services.analytics.dictionary import measures
from services.analytics.period import Asked, settle
from services.analytics.queries import as_of
from services.analytics.query.fetch import Found
from services.analytics.query.plan import Plan, make_plan
from services.analytics.query.run import annotation_of, run
from services.analytics.query.schemas import QueryRequest
from services.analytics.reports.rules import POINTS, ROWS_SHOWN
from services.analytics.reports.schemas import Content

MOST_SERIES = 6
NOBODY = Paging("", (), 1, 1, None)
"""A page of learners that no report shows: it tells of nobody by name."""


@dataclass(frozen=True)
class Fact:
    """A number with its name; `previous` is what it was in the period before, where that was asked for."""

    key: str
    label: str
    value: Any
    unit: str | None = None
    previous: Any = None


@dataclass(frozen=True)
class Column:
    key: str
    label: str
    unit: str | None = None


@dataclass(frozen=True)
class Table:
    """`truncated`: there are more rows than these."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    truncated: bool = False


@dataclass(frozen=True)
class Document:
    """One view of a report, in no language yet. `zone` is the one that its days and hours are meant in."""

    facts: Sequence[Fact]
    charts: Sequence[Mapping[str, Any]]
    tables: Sequence[Table]
    as_of: datetime
    zone: str
    period: tuple[date, date] | None = None
    subject: str = ""


PERCENT = frozenset({
    "avg_progress", "completion_rate", "avg_quiz_score", "average_progress", "engagement_score", "drop_off",
    "progress",
})  # fmt: skip
SUMMARIES = {"platform": "platform_stats", "teacher": "summary", "course": "summary", "student": "summary"}
TABLES: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "platform": (
        ("category_insights", "Enrolments by category",
         ("category", "courses", "enrollments", "avg_progress", "completion_rate")),
        ("growth_metrics", "Growth by day",
         ("date", "new_users", "enrollments", "completions", "active_users")),
    ),
    "teacher": (
        ("course_performance", "Courses",
         ("course_title", "students", "avg_progress", "completion_rate", "rating", "engagement_score")),
    ),
    "course": (
        ("funnel", "Lessons reached and completed",
         ("title", "reached", "completed", "completion_rate", "drop_off")),
        ("questions", "Questions", ("title", "kind", "answers", "difficulty", "discrimination")),
    ),
    "student": (
        ("course_progress", "Progress by course",
         ("course_title", "progress", "status", "completed_lessons", "total_lessons")),
    ),
}  # fmt: skip
"""Of each dashboard: where rows are, what their table is called, its columns. None tells of single people."""


async def read_content(
    session: AsyncSession,
    content: Content,
    owner: Principal,
    whose: UUID | None,
    zone: str,
    moment: datetime,
) -> Document:
    """The numbers of `whose`, in that time zone, as of now. The session has begun to read one moment.

    Raises NotFound for a course that is gone, and what a query raises.
    """
    if content.query is not None:
        return await _of_query(session, content.query, whose, moment)
    place = zone_of(zone) or UTC
    today = moment.astimezone(place).date()
    first = today - timedelta(days=content.days - 1) if content.days else None
    asked = Asked(first, today if first else None, content.compare == "previous")
    period = settle(asked, moment, place)
    subject = ""
    match content.dashboard:
        case "platform":
            found = await platform_dashboard(session, period, moment)
        case "course":
            assert content.course is not None
            course = await access_course(session, owner, content.course)
            found = await course_dashboard(session, course, period, NOBODY, moment)
            subject = course.title
        case "teacher":
            assert whose is not None
            found = await teacher_dashboard(session, whose, period, moment)
        case _:
            assert whose is not None
            found = await student_dashboard(session, whose, period, moment)
    return _of_dashboard(str(content.dashboard), found, str(place), subject)


def _of_dashboard(name: str, found: Mapping[str, Any], zone: str, subject: str) -> Document:
    summary = dict(found[SUMMARIES[name]])
    compared = found.get("comparison") or {}
    facts = [
        Fact(key, key, value, _unit(key), (compared.get(key) or {}).get("previous"))
        for key, value in summary.items()
    ]
    if name in ("teacher", "course"):
        risk = found["at_risk"]
        facts.append(Fact("at_risk", "at_risk", len(risk["learners"] if name == "teacher" else risk)))
    tables = [
        Table(
            title,
            [Column(key, key, _unit(key)) for key in columns],
            [[row[key] for key in columns] for row in found[place]],
        )
        for place, title, columns in TABLES[name]
    ]
    charts = [each for each in found["charts"].values() if each["data"]["labels"]]
    period = (found["period"]["from"], found["period"]["to"])
    return Document(facts, charts, tables, found["as_of"], zone, period, subject)


def _unit(key: str) -> str | None:
    return "percent" if key in PERCENT else None


async def _of_query(
    session: AsyncSession, query: QueryRequest, whose: UUID | None, moment: datetime
) -> Document:
    plan = query_plan(query, moment)
    shown = replace(plan, limit=min(plan.limit, ROWS_SHOWN))
    found = await run(session, shown, me=whose)
    columns = _columns(found)
    newest = await as_of(session, moment)
    if len(columns) == len(plan.measures) and len(found.rows) == 1:
        facts = [Fact(c.key, c.label, value, c.unit) for c, value in zip(columns, found.rows[0], strict=True)]
        return Document(facts, (), (), newest, query.timezone)
    table = Table("", columns, found.rows, found.truncated)
    return Document((), _charts(found, columns), [table], newest, query.timezone)


def query_plan(query: QueryRequest, moment: datetime) -> Plan:
    """What a query asks for on the day of `moment` in its own time zone."""
    return make_plan(query, moment.astimezone(zone_of(query.timezone) or UTC).date())


def _columns(found: Found) -> list[Column]:
    said = annotation_of(found.columns)
    known = said["measures"] | said["dimensions"] | said["timeDimensions"]
    return [Column(c.key, known[c.key]["title"], known[c.key].get("unit")) for c in found.columns]


def _charts(found: Found, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Lines over time where there is a time, else bars: one for each measure, or for each of the greatest
    groups where rows are told apart by more than time."""
    numbers = [place for place, c in enumerate(found.columns) if c.member in measures()]
    times = [place for place, c in enumerate(found.columns) if c.granularity]
    groups = [place for place in range(len(columns)) if place not in numbers]
    others = [place for place in groups if place not in times]
    if not numbers or not groups or len(found.rows) < 2 or len(times) > 1:
        return []
    if times and others:
        return [_pivoted(found, columns, times[0], others, numbers[0])]
    rows = list(found.rows[:POINTS] if not times else found.rows)
    if times:
        rows.sort(key=lambda row: (row[times[0]] is not None, row[times[0]]))
    labels = [", ".join(_label(row[place]) for place in groups) for row in rows]
    series = {columns[n].label: [row[n] for row in rows] for n in numbers}
    title = columns[numbers[0]].label if len(numbers) == 1 else ""
    return [_chart("line" if times else "bar", title, labels, series)]


def _pivoted(
    found: Found, columns: Sequence[Column], time: int, others: Sequence[int], number: int
) -> dict[str, Any]:
    """The first measure over time, a line for each of the greatest groups."""
    values: dict[str, dict[Any, Any]] = {}
    for row in found.rows:
        values.setdefault(", ".join(_label(row[o]) for o in others), {})[row[time]] = row[number]
    moments = sorted({row[time] for row in found.rows if row[time] is not None})
    greatest = sorted(values, key=lambda name: -sum(v or 0 for v in values[name].values()))[:MOST_SERIES]
    series = {name: [values[name].get(at) for at in moments] for name in greatest}
    return _chart("line", columns[number].label, [_label(at) for at in moments], series)


def _label(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="minutes")
    return "–" if value is None else str(value)


def _chart(
    kind: str, title: str, labels: Sequence[str], series: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    datasets = [
        {
            "label": name,
            "data": [None if value is None else float(value) for value in values],
            "backgroundColor": COLORS[place % len(COLORS)],
        }
        for place, (name, values) in enumerate(series.items())
    ]
    return {"type": kind, "title": title, "data": {"labels": list(labels), "datasets": datasets}}
