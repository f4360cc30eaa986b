"""docs/analysts.ipynb runs to its last cell with an analyst's login, and its answers are right."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
import orjson
import psycopg
import pytest
import uvicorn
from nbclient import NotebookClient

from libs.common.testing.harness import Harness, access_token, eventually
from libs.common.web.border import HEADER, gateway_key
from services.analytics import analysts
from services.analytics.projection import use_live
from services.analytics.tests.school import School
from services.analytics.views import publish_views

NOTEBOOK = Path(__file__).parents[3] / "docs" / "analysts.ipynb"
QUESTIONS = 10
TELL = """
import json
print(json.dumps({name: answer.rows for name, answer in answers.items()}, default=str))
"""


@pytest.fixture
async def school(analytics: Harness) -> School:
    made = School(seed=7, times=4)
    async with analytics.db.session() as session:
        await made.fill(session)
        await publish_views(session, await use_live(session))
    return made


@pytest.fixture
async def gateway(analytics: Harness) -> AsyncIterator[str]:
    """The service on a port, with the header that the gateway would put."""
    key = gateway_key(analytics.settings.secret)

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], (HEADER, key)]
        await analytics.app(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(behind, port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    (port,) = {listening.getsockname()[1] for each in server.servers for listening in each.sockets}
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.fixture
def login(admin_url: str) -> Iterator[str]:
    name = f"n{uuid4().hex[:12]}"
    yield analysts.create(admin_url, name)
    analysts.drop(admin_url, name)


def test_no_output_is_committed():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) == QUESTIONS + 1
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


async def test_ten_questions_are_answered(
    analytics: Harness, school: School, gateway: str, login: str, admin_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setenv("LECTERN_ANALYST_URL", login)
    monkeypatch.setenv("LECTERN_GATEWAY", gateway)
    monkeypatch.setenv("LECTERN_TOKEN", access_token(analytics.settings, uuid4(), "manager"))
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_PATH", f"{sys.prefix}/share/jupyter")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(TELL, id="tell"))
    await NotebookClient(notebook, timeout=60, kernel_name="python3").async_execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells[1:-1]:
        shown = cell.outputs[-1]["data"]["text/html"]
        assert shown.startswith("<table>"), cell.source
        assert not any(output.output_type == "error" for output in cell.outputs)
    charts = [
        o for cell in cells for o in cell.outputs if "application/vnd.vegalite.v5+json" in o.get("data", {})
    ]
    assert len(charts) == 2
    check(orjson.loads(cells[-1].outputs[0]["text"]), admin_url)


def check(answers: dict[str, list[dict[str, Any]]], admin_url: str) -> None:
    """Against the views by other questions, as a superuser."""
    with psycopg.connect(admin_url, options="-c search_path=analytics_views") as connection:

        def one(query: str) -> Any:
            row = connection.execute(query.encode()).fetchone()
            return row[0] if row else None

        taking_part = one("SELECT count(*) FROM enrollments WHERE takes_part")
        assert sum(row["enrolments"] for row in answers["learners"]) == taking_part
        assert sum(row["enrolments"] for row in answers["months"]) == taking_part
        assert sum(row["enrolments"] for row in answers["talk"]) == taking_part
        assert all(float(row["progress"]) < 100 for row in answers["behind"])
        assert len({(row["course"], row["student"]) for row in answers["behind"]}) <= taking_part
        assert [row["position"] for row in answers["funnel"]] == list(range(1, len(answers["funnel"]) + 1))
        most = one("SELECT count(DISTINCT student) FROM lesson_completions")
        assert all(0 <= row["completed"] <= most for row in answers["funnel"])
        hardest = [float(row["difficulty"]) for row in answers["hard"]]
        assert hardest == sorted(hardest)
        minutes = sum(row["study.minutes"] for row in answers["minutes_api"])
        assert minutes == pytest.approx(float(one("SELECT sum(seconds) / 60.0 FROM study")))
        assert all(0 < float(row["percent"]) <= 100 for row in answers["cohorts"])
        assert sum(row["tickets"] for row in answers["support"]) == one("SELECT count(*) FROM tickets")
        assert sum(row["enrollments.count"] for row in answers["courses"]) == taking_part
