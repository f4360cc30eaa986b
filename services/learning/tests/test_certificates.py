"""Certificates that end: revoked, or superseded by a reissued one with the learner's present name."""

import asyncio
import io
from typing import Any
from uuid import uuid4

import pytest
from pypdf import PdfReader
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from libs.common.files.storage import Storage
from libs.common.testing.harness import Person
from libs.common.testing.privacy import erase
from services.learning.tests.conftest import School, done, refused, user_state


async def certified(school: School, name: str = "Ada Lovelace", *, made: bool = True) -> tuple[Person, str]:
    """A learner who has completed a course, and the uuid of the certificate."""
    course = await school.course(uuid4())
    student = await school.enrolled(course, name)
    await school.complete(student, course, school.lessons(course)[0])
    if made:
        await school.harness.run_tasks()
    [row] = done(await student.client.get("/api/certificates/"))["results"]
    return student, row["uuid"]


def at(uuid: str, action: str = "") -> str:
    return f"/api/certificates/{uuid}/{action}"


async def entries(school: School, target: str) -> list[tuple[str, str]]:
    async with school.harness.db.sessions() as session:
        rows = await session.execute(
            text("SELECT action, reason FROM audit_entries WHERE target = :t ORDER BY id"), {"t": target}
        )
        return [tuple(row) for row in rows]


async def words(who: Person, uuid: str) -> str:
    pdf = await who.client.get(at(uuid, "download/"))
    assert pdf.status_code == 200, pdf.text
    return PdfReader(io.BytesIO(pdf.content)).pages[0].extract_text()


async def test_a_revoked_certificate_says_so_and_its_pdf_is_gone(school: School) -> None:
    student, uuid = await certified(school)
    link = done(await student.client.get(at(uuid)))["pdf_file"]
    link = link.removeprefix(school.harness.settings.public_url)
    body = {"reason": "Handed in somebody else's work."}
    first = done(await school.teacher.client.post(at(uuid, "revoke/"), json=body))
    assert (first["status"], first["is_valid"], first["pdf_file"]) == ("revoked", False, None)
    assert (first["revoked_at"], first["revocation_reason"]) == ("2026-03-02T09:00:00Z", body["reason"])
    school.clock.advance(days=1)
    again = await school.teacher.client.post(at(uuid, "revoke/"), json={"reason": "Another."})
    assert done(again) == first
    assert await school.events("certificate_revoked") == ["certificate_revoked"]
    assert await entries(school, uuid) == [("certificate.revoked", body["reason"])]

    await school.harness.run_tasks()
    refused(await student.client.get(at(uuid, "download/")), 409, "certificate_revoked")
    assert (await school.harness.client().get(link)).status_code == 404
    assert not [
        path for path in await Storage(school.harness.settings).list_folder("certificates") if uuid in path
    ]
    check = done(await school.harness.client().get(at(uuid, "verify/")))
    assert (check["valid"], check["status"], check["revoked_at"]) == (False, "revoked", first["revoked_at"])
    assert "revocation_reason" not in check
    page = await school.harness.client().get(at(uuid, "verify/"), headers={"Accept": "text/html"})
    assert "This certificate is revoked" in page.text
    assert "2026-03-02" in page.text.partition("Revoked")[2]
    assert "somebody else" not in page.text


async def test_only_who_teaches_or_manages_the_course_revokes(school: School) -> None:
    student, uuid = await certified(school)
    body = {"reason": "Because."}
    refused(await student.client.post(at(uuid, "revoke/"), json=body), 403, "forbidden")
    for role in ("student", "teacher", "moderator"):
        stranger = await school.person("Eve Else", role)
        refused(await stranger.client.post(at(uuid, "revoke/"), json=body), 404, "not_found")
        refused(await stranger.client.post(at(uuid, "reissue/")), 404, "not_found")
    refused(await school.harness.client().post(at(uuid, "revoke/"), json=body), 401, "not_authenticated")
    teacher = school.teacher.client
    bodies: list[Any] = [{"reason": "x" * 501}, {"reason": "a\0"}, {"reason": 5}, []]
    for bad in bodies:
        refused(await teacher.post(at(uuid, "revoke/"), json=bad), 422, "invalid_input")
    refused(await teacher.post(at(uuid, "reissue/"), json={"reason": "x" * 501}), 422, "invalid_input")
    refused(await teacher.post(at(str(uuid4()), "revoke/"), json=body), 404, "not_found")
    assert done(await student.client.get(at(uuid)))["status"] == "valid"
    assert await school.events("certificate_revoked", "certificate_superseded") == []
    manager = await school.person("Mia Manager", "manager")
    assert done(await manager.client.post(at(uuid, "revoke/"), json=body))["status"] == "revoked"


async def test_a_new_name_needs_a_reissue_which_supersedes_the_old_one(school: School) -> None:
    student, old = await certified(school)
    await school.harness.deliver(user_state(student.uuid, "Ada King"))
    before = done(await student.client.get(at(old)))
    assert before["student_name"] == "Ada Lovelace"
    new = done(await student.client.post(at(old, "reissue/")), 201)
    assert new["uuid"] != old
    assert new["certificate_number"] != before["certificate_number"]
    assert (new["replaces"], new["student_name"], new["pdf_file"]) == (old, "Ada King", None)
    assert new["completion_date"] == before["completion_date"]
    await school.harness.run_tasks()
    assert "Ada King" in await words(student, new["uuid"])
    refused(await student.client.get(at(old, "download/")), 409, "certificate_superseded")
    refused(
        await school.teacher.client.post(at(old, "revoke/"), json={"reason": "x"}),
        409,
        "certificate_superseded",
    )
    check = done(await school.harness.client().get(at(before["certificate_number"], "verify/")))
    assert (check["valid"], check["status"], check["student_name"]) == (False, "superseded", "Ada Lovelace")
    assert check["replaced_by"]["certificate_number"] == new["certificate_number"]
    page = await school.harness.client().get(at(old, "verify/"), headers={"Accept": "text/html"})
    assert "This certificate is superseded" in page.text
    assert check["replaced_by"]["verification_url"] in page.text
    row = done(await student.client.get("/api/certificates/"))["results"]
    assert [row["uuid"] for row in row] == [new["uuid"], old]
    assert done(await student.client.get("/api/certificates/?status=valid"))["count"] == 1
    refused(await student.client.get("/api/certificates/?status=lost"), 400, "invalid_filter")
    kinds = ("certificate_requested", "certificate_issued", "certificate_superseded")
    assert await school.events(*kinds) == [*kinds[:2], kinds[0], kinds[2], kinds[1]]
    assert await entries(school, old) == []


@pytest.mark.parametrize("by_key", [True, False])
async def test_many_reissues_at_once_make_one(school: School, by_key: bool) -> None:
    student, old = await certified(school)
    callers = [student, school.teacher] * 4
    headers = {"Idempotency-Key": str(uuid4())} if by_key else {}
    if by_key:
        callers = [student] * 4
    answers = await asyncio.gather(*(c.client.post(at(old, "reissue/"), headers=headers) for c in callers))
    made = {a.json()["uuid"] for a in answers if a.is_success}
    assert len(made) == 1
    if by_key:
        assert {a.status_code for a in answers} <= {201, 409}
    else:
        assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
    await school.harness.run_tasks()
    rows = done(await student.client.get("/api/certificates/"))["results"]
    assert [row["status"] for row in rows] == ["valid", "superseded"]
    assert len(await school.events("certificate_superseded")) == 1
    versions = [seq for _, key, seq in await school.published() if key == old]
    assert versions == [1, 2, 3]


async def test_a_revocation_and_a_reissue_at_once_leave_one_truth(school: School) -> None:
    student, old = await certified(school)
    revoked, reissued = await asyncio.gather(
        school.teacher.client.post(at(old, "revoke/"), json={"reason": "A mistake."}),
        student.client.post(at(old, "reissue/")),
    )
    rows = done(await student.client.get("/api/certificates/"))["results"]
    if revoked.status_code == 200:
        refused(reissued, 409, "certificate_revoked")
        assert [row["status"] for row in rows] == ["revoked"]
    else:
        refused(revoked, 409, "certificate_superseded")
        assert [row["status"] for row in rows] == ["valid", "superseded"]


async def test_staff_replace_a_revoked_certificate_and_it_stays_revoked(school: School) -> None:
    student, old = await certified(school)
    done(await school.teacher.client.post(at(old, "revoke/"), json={"reason": "A mistake."}))
    refused(await student.client.post(at(old, "reissue/")), 409, "certificate_revoked")
    body = {"reason": "It was the wrong learner."}
    new = done(await school.teacher.client.post(at(old, "reissue/"), json=body), 201)
    assert done(await school.teacher.client.post(at(old, "reissue/")))["uuid"] == new["uuid"]
    shown = done(await student.client.get(at(old)))
    assert (shown["status"], shown["replaced_by"]["uuid"]) == ("revoked", new["uuid"])
    assert [action for action, _ in await entries(school, old)] == [
        "certificate.revoked",
        "certificate.reissued",
    ]
    assert await school.events("certificate_superseded") == []


async def test_one_that_is_being_made_is_not_reissued_and_once_revoked_not_made(school: School) -> None:
    student, uuid = await certified(school, made=False)
    refused(await student.client.post(at(uuid, "reissue/")), 409, "certificate_not_ready")
    done(await school.teacher.client.post(at(uuid, "revoke/"), json={"reason": "Too early."}))
    await school.harness.run_tasks()
    school.clock.advance(minutes=1)
    await school.harness.run_task("learning.sweep_certificates", clock=school.clock)
    assert await school.harness.run_tasks() == 0
    assert await school.events("certificate_issued") == []
    assert not [
        path for path in await Storage(school.harness.settings).list_folder("certificates") if uuid in path
    ]


async def test_a_file_that_was_left_is_dropped_by_the_sweep(school: School) -> None:
    _, uuid = await certified(school)
    done(await school.teacher.client.post(at(uuid, "revoke/"), json={"reason": "Wrong."}))
    school.harness.queue.started.clear()
    await school.harness.run_task("learning.sweep_certificates", clock=school.clock)
    await school.harness.run_tasks()
    assert not [
        path for path in await Storage(school.harness.settings).list_folder("certificates") if uuid in path
    ]


async def test_no_certificate_is_made_anew_for_the_erased(school: School) -> None:
    student, uuid = await certified(school, "Canary Name")
    await erase(school.harness, student.uuid)
    refused(await school.teacher.client.post(at(uuid, "reissue/")), 409, "learner_erased")
    assert done(await school.harness.client().get(at(uuid, "verify/")))["valid"] is True


async def test_the_database_refuses_a_second_valid_or_first_certificate(school: School) -> None:
    _, uuid = await certified(school)
    copy = (
        "INSERT INTO certificates (uuid, version, certificate_number, enrollment, course, student,"
        " course_title, status, completed_at, replaces) SELECT gen_random_uuid(), 1,"
        " :number, enrollment, course, student,"
        " course_title, :status, completed_at, CAST(:replaces AS uuid) FROM certificates"
    )
    values: list[dict[str, Any]] = [
        {"number": "CERT-2026-AAAAAA", "status": "valid", "replaces": uuid},
        {"number": "CERT-2026-BBBBBB", "status": "superseded", "replaces": None},
    ]
    for row in values:
        with pytest.raises(IntegrityError):
            async with school.harness.db.engine.begin() as connection:
                await connection.execute(text(copy), row)


async def test_a_certificate_is_revoked_without_a_reason_and_never_from_an_older_view(school: School) -> None:
    student, uuid = await certified(school)
    tag = (await student.client.get(at(uuid))).headers["etag"]
    old = {"If-Match": '"1"'}
    teacher = school.teacher.client
    for act in ("revoke/", "reissue/"):
        refused(await teacher.post(at(uuid, act), headers=old), 412, "precondition_failed")
    answer = await teacher.post(at(uuid, "revoke/"), headers={"If-Match": tag})
    assert done(answer)["status"] == "revoked"
    assert (await student.client.get(at(uuid), headers={"If-None-Match": tag})).status_code == 200
    seen = {"If-None-Match": answer.headers["etag"]}
    assert (await student.client.get(at(uuid), headers=seen)).status_code == 304
