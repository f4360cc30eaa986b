"""Two learners hand in a file together, and are graded by rubric and by a sheet: through the gateway."""

import io
from collections.abc import AsyncIterator
from uuid import uuid4
from zipfile import ZipFile

import httpx
import pytest

from deploy.local.project import Project
from libs.common.testing.harness import eventually
from tests.support import Json, Stage, Visitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n"


@pytest.fixture
async def stage(project: Project) -> AsyncIterator[Stage]:
    stage = Stage(project, uuid4().hex[:8])
    yield stage
    await stage.close()


async def soon(who: Visitor, method: str, path: str, **options: object) -> Json:
    """The answer once it is a success: learning hears of a new course a moment later."""

    async def answered() -> Json | None:
        answer = await who.raw(method, path, **options)
        return answer.json() if answer.is_success else None

    found: Json = await eventually(answered, 20)
    return found


async def course_of(teacher: Visitor) -> str:
    body = {
        "title": f"Working together {uuid4().hex[:6]}",
        "description": "How two people hand in one piece of work, and what becomes of it afterwards.",
    }
    course = await teacher.post("/api/courses/", body, 201)
    module = await teacher.post("/api/modules/", {"course": course["uuid"], "title": "All of it"}, 201)
    lesson = {"module": module["uuid"], "title": "Read", "content_type": "text", "text_content": "Together."}
    await teacher.post(f"/api/courses/{course['uuid']}/lessons/", lesson, 201)
    await teacher.post(f"/api/courses/{course['uuid']}/publish/")
    return str(course["uuid"])


async def test_work_of_a_group_from_upload_to_grade(stage: Stage) -> None:
    teacher = await stage.join("teacher", "teacher")
    ada, eve = await stage.join("ada"), await stage.join("eve")
    course = await course_of(teacher)
    for learner in (ada, eve):
        await soon(learner, "POST", f"/api/courses/{course}/enroll/", json={})
    rubric = [{"title": "Idea", "points": 6}, {"title": "Form", "points": 4}]
    body = {"course": course, "title": "=Plan", "rubric": rubric, "allowed_types": ["pdf"]}
    assignment = await teacher.post("/api/assignments/", body, 201)
    path = f"/api/assignments/{assignment['uuid']}/"
    groups = {"groups": [{"name": "Red", "members": [ada.uuid, eve.uuid]}]}
    await teacher.call("PUT", f"{path}groups/", json=groups)

    # The gateway takes multipart that is labelled as something else, too.
    form = httpx.Request("POST", "http://x", files={"files": ("plan.pdf", PDF, "application/pdf")})
    content = form.read()
    sent = await ada.raw(
        "POST", f"{path}submissions/", content=content, headers={"Content-Type": "application/json"}
    )
    assert sent.status_code == 201, sent.text
    [mates] = (await eve.get(f"{path}submissions/"))["results"]
    async with httpx.AsyncClient() as anybody:
        file = await anybody.get(mates["files"][0]["url"])
    assert (file.content, file.headers["content-type"]) == (PDF, "application/pdf")
    refused = await eve.raw("POST", f"{path}submissions/", files={"files": ("plan.txt", b"text")})
    assert refused.json()["code"] == "file_type_refused"

    [waiting] = (await teacher.get(f"/api/submissions/queue/?course={course}"))["results"]
    first, second = (criterion["uuid"] for criterion in assignment["rubric"])
    grade = {"rubric_scores": {first: 5, second: 4}, "feedback": "Well planned."}
    await teacher.call("PATCH", f"/api/submissions/{waiting['submission']}/grade/", json=grade)
    for learner in (ada, eve):
        mine = await learner.get(f"/api/courses/{course}/grades/me/")
        assert (mine["current"], mine["cells"][assignment["uuid"]]["score"]) == (90, 9)

        async def told(who: Visitor = learner) -> bool:
            page = await who.get("/api/core/notifications/?notification_type=grade")
            return bool(page["count"] == 1)

        await eventually(told, 20)

    sheet = await teacher.raw("GET", f"/api/courses/{course}/gradebook/export/?file=xlsx")
    with ZipFile(io.BytesIO(sheet.content)) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")
    table = (await teacher.raw("GET", f"/api/courses/{course}/gradebook/export/")).text
    row = f"{eve.uuid},Eve Lovelace,{eve.email},"
    changed = table.replace(f"{row}9.0", f"{row}7.5").encode()
    for dry_run in ("true", "false"):
        answer = await teacher.raw(
            "POST", f"/api/courses/{course}/gradebook/import/",
            files={"file": ("grades.csv", changed, "text/csv")}, data={"dry_run": dry_run},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        [moved] = answer.json()["changes"]
        assert (moved["name"], moved["before"]["score"], moved["after"]["score"]) == ("Eve Lovelace", 9, 7.5)
    mine = await eve.get(f"/api/courses/{course}/grades/me/")
    assert mine["current"] == 75
    assert (await ada.get(f"/api/courses/{course}/grades/me/"))["current"] == 90
