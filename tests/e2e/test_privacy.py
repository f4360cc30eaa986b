"""A learner takes their data along and is erased everywhere, while one service is down for a time."""

import asyncio
import io
from typing import Any
from zipfile import ZipFile

import httpx
import orjson
import psycopg
import pytest
from psycopg import sql

from deploy.local.control import Process
from deploy.local.project import DATABASE, Project
from libs.common.data.bootstrap import with_database
from libs.common.runtime.settings import SERVICES
from libs.common.testing.harness import eventually
from tests.conftest import run_module
from tests.support import PASSWORD, Json, Stage, Visitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ME = "/api/accounts/users/me/"


async def course_of(teacher: Visitor) -> tuple[str, str]:
    """A published course of one lesson."""
    body = {
        "title": f"Leaving, with {teacher.email}",
        "description": "What to take along, what to leave behind, and how to say goodbye in good form.",
    }
    course = await teacher.post("/api/courses/", body, 201)
    module = await teacher.post("/api/modules/", {"course": course["uuid"], "title": "All of it"}, 201)
    lesson = {"module": module["uuid"], "title": "Goodbye", "content_type": "text", "text_content": "Bye."}
    made = await teacher.post(f"/api/courses/{course['uuid']}/lessons/", lesson, 201)
    await teacher.post(f"/api/courses/{course['uuid']}/publish/")
    return course["uuid"], made["uuid"]


async def soon(who: Visitor, method: str, path: str, **options: Any) -> Json:
    """The answer once it is a success: another service may hear of things a moment later."""

    async def answered() -> Json | None:
        answer = await who.raw(method, path, **options)
        found: Json | None = answer.json() if answer.is_success else None
        return found

    found: Json = await eventually(answered, 20)
    return found


async def live(learner: Visitor, teacher: Visitor) -> str:
    """Leave something in every service; returns the number of the certificate."""
    course, lesson = await course_of(teacher)
    name = learner.user["first_name"]
    await learner.call("PATCH", ME, json={"bio": f"{name} was here", "city": f"{name}ville"})
    await soon(learner, "POST", f"/api/courses/{course}/enroll/", json={})
    notes = f"/api/courses/{course}/lessons/{lesson}/notes/"
    await learner.post(notes, {"notes": f"{name} notes this"})
    await learner.post(f"/api/courses/{course}/lessons/{lesson}/complete/")
    forums = await soon(learner, "GET", f"/api/core/forums/?course={course}")
    question = await soon(
        learner, "POST", "/api/core/discussions/",
        json={"forum": forums["results"][0]["uuid"], "title": "May I leave?", "content": "I would like to.",
              "discussion_type": "question"},
    )  # fmt: skip
    answer = {"discussion": question["uuid"], "content": f"Of course, @{name}_Lovelace!"}
    await soon(teacher, "POST", "/api/core/replies/", json=answer)
    ticket = {"subject": f"{name} asks for help", "description": f"I am {name} and I cannot find the door."}
    await learner.post("/api/core/support-tickets/", ticket, 201)

    async def certified() -> str | None:
        rows = (await learner.get("/api/certificates/"))["results"]
        return rows[0]["certificate_number"] if rows and rows[0]["pdf_file"] else None

    async def mentioned() -> bool:
        page = await learner.get("/api/core/notifications/?notification_type=mention")
        return bool(page["count"] == 1)

    number: str = await eventually(certified, 40)
    await eventually(mentioned, 20)
    return number


def where(project: Project, word: str) -> list[str]:
    """Every table of every schema in which a row holds the word."""
    url = with_database(project.postgres_url, DATABASE)
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL(
                "SELECT EXISTS (SELECT 1 FROM {} t WHERE strpos(lower(t::text), lower(%s)) > 0"
                " OR strpos(t::text, encode(convert_to(%s, 'UTF8'), 'hex')) > 0)"
            ).format(sql.Identifier(schema, table))
            if (row := connection.execute(query, (word, word)).fetchone()) and row[0]:
                found.append(f"{schema}.{table}")
    return found


async def fetch(project: Project, url: str) -> dict[str, bytes]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
    assert answer.headers["content-type"] == "application/zip", answer.text[:300]
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_a_learner_takes_everything_along_and_leaves_nothing_behind(stage: Stage, admin: Visitor):
    project, mark = stage.project, f"canary{stage.mark}"
    teacher = await stage.join("tess", "teacher")
    learner = await stage.join(mark)
    number = await live(learner, teacher)

    # The export: all seven parts, with the learner's words and the certificate.
    job = await learner.post(f"{ME}export/", status=202)
    path = f"/api/jobs/{job['uuid']}/"
    done = await eventually(lambda: ended(learner, path), 30)
    assert (done["status"], done["percent"]) == ("done", 100)
    files = await fetch(project, done["result_url"])
    assert {f"{service}.json" for service in SERVICES} | {"README.txt"} <= set(files)
    assert files[f"files/learning/{number}.pdf"].startswith(b"%PDF")
    parts = {service: files[f"{service}.json"].decode() for service in SERVICES}
    for service in ("identity", "learning", "support"):
        assert mark in parts[service].lower(), service
    assert "May I leave?" in parts["forum"]
    assert len(orjson.loads(parts["notify"])["data"]["notifications"]) >= 2
    assert orjson.loads(parts["analytics"])["data"]["lesson_completions"]
    assert len(await asyncio.to_thread(where, project, mark)) > 5

    # The erasure, while support is away.
    support = Process(project, "support")
    await asyncio.to_thread(support.stop)
    erasure = await learner.call("DELETE", ME, 202, json={"password": PASSWORD})
    path = f"/api/jobs/{erasure['uuid']}/"
    await eventually(lambda: is_locked_out(learner), 5)
    waiting = await eventually(lambda: all_but(admin, path, "support"), 30)
    assert (waiting["status"], waiting["percent"]) == ("running", 85)
    left = await asyncio.to_thread(where, project, mark)
    assert left
    assert all(table.startswith("support.") for table in left), left
    await asyncio.to_thread(support.start)
    proof = await eventually(lambda: ended(admin, path), 30)
    assert proof["status"] == "done"
    assert all(part["acknowledged_at"] for part in proof["services"])

    # Nothing is left: in no table, no file; what others need still stands.
    assert await asyncio.to_thread(where, project, mark) == []
    farewell = [mail for mail in await stage.mails(learner.email) if "deleted" in mail["subject"]]
    assert len(farewell) == 1
    checked = await stage.visitor().get(f"/api/certificates/{number}/verify/")
    assert (checked["valid"], checked["student_name"]) == (True, "")
    gone = await admin.raw("GET", f"/api/accounts/users/{learner.uuid}/")
    assert gone.status_code == 404

    async def cleared() -> bool:
        storage = project.directory / "storage"
        return not [p for p in storage.rglob("*") if p.is_file() and job["uuid"] in str(p)]

    await eventually(cleared, 20)
    await eventually(lambda: balanced(project), 30, interval=0.5)

    # The address is free.
    again = await stage.join(mark)
    assert again.uuid != learner.uuid


async def ended(who: Visitor, path: str) -> Json | None:
    job: Json = await who.get(path)
    return job if job["status"] not in ("queued", "running") else None


async def all_but(who: Visitor, path: str, service: str) -> Json | None:
    job: Json = await who.get(path)
    missing = {part["service"] for part in job["services"] if not part["acknowledged_at"]}
    return job if missing == {service} else None


async def is_locked_out(who: Visitor) -> bool:
    return (await who.raw("GET", ME)).status_code == 401


async def balanced(project: Project) -> bool:
    result = await asyncio.to_thread(run_module, project, "libs.common.bus.audit")
    assert result.returncode == 0, result.stdout + result.stderr
    return True
