"""The demo seed on the real suite."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest

from deploy.local.project import Project
from deploy.local.seed import begin_history, history, is_there, seed
from deploy.local.seed_plan import WEEKS
from libs.common.testing.harness import eventually
from tests.conftest import run_module
from tests.support import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


async def test_the_seed_makes_weeks_of_learning_through_the_event_flow_once(stage: Stage):
    project, told = stage.project, []
    await asyncio.to_thread(seed, project)
    await asyncio.to_thread(history, project, "small", lambda *step: told.append(step))
    assert told[-1][0] == told[-1][1] > 0
    assert is_there(project, "small")
    assert not is_there(project, "medium")
    assert not begin_history(project, "small")

    visitor = stage.visitor()
    page = await visitor.get("/api/courses/?category=computing&sortBy=popular")
    assert page["count"] == 4
    now = datetime.fromisoformat(json.loads(state(project))["now"])
    published = [datetime.fromisoformat(card["published_at"]) for card in page["results"]]
    assert max(published) < now - timedelta(weeks=WEEKS)
    found = await visitor.get("/api/courses/?search=lerning+how")  # as the README has it
    assert found["results"][0]["title"] == "Learning how to learn"
    learner = stage.visitor("learner")
    learner.email = "learner000@lectern.example"
    await learner.login()
    courses = await learner.get("/api/enrollments/my-courses/")
    assert all(datetime.fromisoformat(row["enrolled_at"]) < now for row in courses)

    async def shown() -> bool:
        dashboard = await learner.get("/api/core/analytics/student/")
        return len(dashboard["quiz_trend"]) > 0 and dashboard["summary"]["average_progress"] > 0

    await eventually(shown, 60)

    async def balanced() -> bool:
        result = await asyncio.to_thread(run_module, project, "libs.common.bus.audit")
        assert result.returncode == 0, result.stdout
        return True

    await eventually(balanced, 60, interval=0.5)
    before = state(project)
    await asyncio.to_thread(history, project, "small", lambda *step: told.append(step))
    assert state(project) == before


def state(project: Project) -> str:
    return (project.directory / "seed.json").read_text()
