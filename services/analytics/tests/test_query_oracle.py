"""Queries give what an oracle finds row by row: facts side by side, zones with jumps, missing values."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.testing.harness import Harness
from services.analytics.dictionary import measures
from services.analytics.tests.oracle import (
    COURSE_DIMENSIONS,
    FACTS,
    HAS_COURSE,
    HAS_PEOPLE,
    MEASURES,
    OWN_DIMENSIONS,
    PEOPLE_DIMENSIONS,
    Oracle,
)
from services.analytics.tests.school import ZONES, School

FOR_MANAGERS = {"people", "tickets", "learning_days"}
QUERY = "/api/analytics/query/"
DAYS = [
    "2011-11-04", "2011-11-05", "2011-12-29", "2011-12-30", "2018-02-17", "2018-02-18", "2018-11-04",
    "2026-03-28", "2026-03-29", "2026-04-05", "2026-10-25", "2026-12-31",
]  # fmt: skip


@pytest.fixture
async def school(analytics: Harness) -> School:
    school = School(seed=7)
    async with analytics.db.session() as session:
        await school.fill(session)
    return school


@pytest.fixture
async def busy_school(analytics: Harness) -> School:
    school = School(seed=11, times=4)
    async with analytics.db.session() as session:
        await school.fill(session)
    return school


def shared_dimensions(facts: list[str], oracle: Oracle) -> list[str]:
    names = []
    if set(facts) <= HAS_COURSE:
        names += [f"courses.{name}" for name in COURSE_DIMENSIONS]
    if set(facts) <= HAS_PEOPLE and not oracle.teacher:
        names += [f"people.{name}" for name in PEOPLE_DIMENSIONS]
    if len(facts) == 1:
        names += [f"{facts[0]}.{name}" for name in OWN_DIMENSIONS.get(facts[0], ())]
    return list(dict.fromkeys(names))


def values_of(oracle: Oracle, facts: list[str], member: str) -> list[Any]:
    found = {
        str(v) if not isinstance(v, bool) else v
        for fact in facts
        for row in oracle.rows(fact)
        if (v := oracle.value(fact, row, member)) is not None
    }
    return sorted(found, key=str) or ["nothing"]


@st.composite
def queries(draw: st.DrawFn, oracle: Oracle) -> dict[str, Any]:
    allowed = sorted(set(FACTS) - FOR_MANAGERS if oracle.teacher else FACTS)
    facts = draw(st.lists(st.sampled_from(allowed), min_size=1, max_size=3, unique=True))
    able = [name for name in MEASURES if name.partition(".")[0] in facts]
    asked = draw(st.lists(st.sampled_from(able), min_size=1, max_size=4, unique=True))
    facts = list(dict.fromkeys(name.partition(".")[0] for name in asked))
    known = shared_dimensions(facts, oracle)
    groups = draw(st.lists(st.sampled_from(known), max_size=3, unique=True)) if known else []
    granularities = ["day", "week", "month", "quarter", "year"]
    if not set(facts) & {"study", "learning_days", "course_days"} and not oracle.teacher:
        granularities.append("hour")
    time: dict[str, Any] = {"dimension": "time.at"}
    if draw(st.booleans()):
        time["granularity"] = draw(st.sampled_from(granularities))
    if draw(st.booleans()):
        time["dateRange"] = sorted(draw(st.lists(st.sampled_from(DAYS), min_size=2, max_size=2)))

    def leaf() -> dict[str, Any]:
        if not known or draw(st.integers(0, 3)) == 0:
            operator = draw(st.sampled_from(["gte", "lt", "inDateRange", "set", "notSet"]))
            count = {"inDateRange": 2, "set": 0, "notSet": 0}.get(operator, 1)
            days = sorted(draw(st.lists(st.sampled_from(DAYS), min_size=count, max_size=count)))
            return {"member": "time.at", "operator": operator, "values": days}
        member = draw(st.sampled_from(known))
        values = values_of(oracle, facts, member)
        operators = ["equals", "notEquals", "set", "notSet"]
        if isinstance(values[0], str) and not member.endswith(("uuid", "quiz", "question")):
            operators.append("contains")
        operator = draw(st.sampled_from(operators))
        if operator in ("set", "notSet"):
            return {"member": member, "operator": operator}
        chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
        if operator == "contains":
            chosen = [value[draw(st.integers(0, 2)) :][:4].upper() or "%" for value in chosen]
        return {"member": member, "operator": operator, "values": chosen}

    filters = [leaf() for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        filters.append({draw(st.sampled_from(["or", "and"])): [leaf(), {"or": [leaf(), leaf()]}]})
    return {
        "measures": asked,
        "dimensions": groups,
        "timeDimensions": [time] if len(time) > 1 else [],
        "filters": filters,
        "timezone": draw(st.sampled_from(ZONES)),
    }


def by_group(asked: dict[str, Any], data: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    keys = asked["dimensions"] + [
        f"{t['dimension']}.{t['granularity']}" for t in asked["timeDimensions"] if "granularity" in t
    ]
    found = {tuple(row[key] for key in keys): {m: row[m] for m in asked["measures"]} for row in data}
    assert len(found) == len(data)
    return found


def rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.9g}")


ORACLE = Oracle(School(seed=7))
BUSY = School(seed=11, times=4)
TEACHERS = Oracle(BUSY, BUSY.teacher)


@given(asked=queries(ORACLE))
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
async def test_random_queries_give_what_the_rows_say(
    school: School, analytics: Harness, asked: dict[str, Any]
):
    response = await analytics.person("manager").client.post(QUERY, json=asked)
    body = response.json()
    assert response.status_code == 200, body
    found = by_group(asked, body["data"])
    expected = ORACLE.answer(asked)
    assert set(found) == set(expected)
    for key, numbers in expected.items():
        assert {m: rounded(n) for m, n in found[key].items()} == {m: rounded(n) for m, n in numbers.items()}


@given(asked=queries(TEACHERS))
@settings(max_examples=80, suppress_health_check=list(HealthCheck))
async def test_a_teacher_gets_the_numbers_of_own_courses_or_none(
    busy_school: School, analytics: Harness, asked: dict[str, Any]
):
    teacher = analytics.person("teacher", busy_school.teacher)
    response = await teacher.client.post(QUERY, json=asked)
    body = response.json()
    if response.status_code == 422:
        assert "fewer dimensions" in body["detail"], body
        return
    assert response.status_code == 200, body
    found, expected = by_group(asked, body["data"]), TEACHERS.answer(asked)
    assert set(found) == set(expected)
    people = TEACHERS.people(asked)
    for key, numbers in expected.items():
        for measure, number in numbers.items():
            number_of_people = people[key].get(measure.partition(".")[0], 0)
            if number_of_people is not None and 0 < number_of_people < 5:
                assert found[key][measure] is None
            elif found[key][measure] is not None:
                assert rounded(found[key][measure]) == rounded(number)
    assert body["suppressed"] <= len(found)


def test_the_oracle_knows_every_measure_but_those_of_feeds():
    others = set(measures()) - set(MEASURES)
    assert {name.partition(".")[0] for name in others} == {
        "lessons", "active_days", "activities", "lesson_visits", "media"
    }  # fmt: skip
