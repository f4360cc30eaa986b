"""Export and erasure in learning."""

from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.events.identity import ErasureRequested, ExportRequested
from libs.common.files.storage import Storage
from libs.common.runtime.errors import NotFound
from libs.common.testing.harness import Person, as_record
from libs.common.testing.privacy import answers_to, apply, erase, export, tables_with, tombstone
from services.learning.models import Base
from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.quizzing import ESSAY, take

# Every table was looked at for what it holds of people. A new one is to be gathered and erased in privacy.py,
# or kept for a reason, and then named here.
DECIDED = {
    "users": "goes",
    "enrollments": "stay: ids and progress; seats underway are freed",
    "lesson_progress": "notes and positions go, times and points stay",
    "study_clocks": "go", "study_days": "go",
    "attempts": "stay: ids and points", "attempt_questions": "written answers and comments go",
    "quiz_results": "stay: ids and points",
    "submissions": "feedback goes, grades stay", "submission_versions": "texts go",
    "submission_files": "go, with their objects",
    "certificate_templates": "nothing personal but signers, whom teachers enter for the course",
    "certificates": "stay by their number, without name and PDF",
    "quiz_extensions": "zeros", "question_banks": "nothing personal",
    "courses": "ids of instructors", "quizzes": "nothing personal", "questions": "nothing personal",
    "assignments": "ids of groups' members", "grading_policies": "nothing personal",
    "grading_policy_versions": "ids of teachers", "grade_marks": "stay: ids and points",
    "grade_facts": "extensions go; items and seats stay: ids and dates",
    "completion_rules": "nothing personal", "completion_checks": "ids only",
    "privacy_parts": "ids only: the proof",
    "outbox": "ids only", "key_progress": "ids only",
    "epochs": "nothing personal", "void_events": "ids only", "processes": "nothing personal",
    "dead_letter": "parked states of the person become tombstones", "idempotency_keys": "the person's go",
}  # fmt: skip
WRITTEN = {"kind": "short_answer", "text": "Who are you?", "points": 5, "accepted": ["nobody"]}


def test_every_table_is_decided():
    assert set(Base.metadata.tables) == set(DECIDED)


async def stored(school: School) -> list[str]:
    """Paths of certificates, those of other tests too."""
    return await Storage(school.harness.settings).list_folder("certificates")


async def studied(school: School) -> tuple[Person, dict, dict]:
    """A learner with notes, a written answer, a submission with feedback, and a certificate with its PDF."""
    course = await school.course()
    student = await school.enrolled(course, "Canary Name")
    first, second = school.lessons(course)
    path = f"/api/courses/{course}/lessons/{first}/"
    done(await student.client.post(f"{path}notes/", json={"notes": "Canary-note"}))
    heartbeat = {"position_seconds": 30, "seconds_spent": 20}
    school.clock.advance(seconds=20)
    done(await student.client.post(f"{path}progress/", json=heartbeat))
    quiz = await school.quiz(course, WRITTEN)
    attempt = done(await student.client.post(f"/api/quizzes/{quiz['uuid']}/attempts/"), 201)
    place = f"/api/attempts/{attempt['uuid']}/"
    question = attempt["questions"][0]["uuid"]
    done(await student.client.put(f"{place}answers/{question}/", json={"answer": "Canary-answer"}))
    done(await student.client.post(f"{place}submit/"))
    assignment = await school.assignment(course)
    url = f"/api/assignments/{assignment['uuid']}/submissions/"
    files = {"files": ("Canary-file.txt", b"Canary-content", "text/plain")}
    work = await student.client.post(url, data={"text": "Canary-submission"}, files=files)
    submission = done(work, 201)
    grade = {"score": 17, "feedback": "Well done, Canary-feedback."}
    done(await school.teacher.client.patch(f"/api/submissions/{submission['uuid']}/grade/", json=grade))
    await school.complete(student, course, first)
    await school.complete(student, course, second)
    await school.harness.run_tasks()
    [certificate] = done(await student.client.get("/api/certificates/"))["results"]
    return student, submission, certificate


async def test_an_export_holds_work_notes_and_certificates_with_their_files(school: School):
    student, _, certificate = await studied(school)
    part = await export(school.harness, student.uuid)
    data = part["data"]
    assert [row["notes"] for row in data["lessons"] if row["notes"]] == ["Canary-note"]
    assert [row["answer"] for row in data["answers"]] == ["Canary-answer"]
    assert [row["text"] for row in data["submitted_texts"]] == ["Canary-submission"]
    assert data["submissions"][0]["score"] == 17
    assert data["enrollments"][0]["progress_percentage"] == 100
    assert [row["name"] for row in data["submitted_files"]] == ["Canary-file.txt"]
    names = [file["name"] for file in part["files"]]
    assert names == [f"{certificate['certificate_number']}.pdf", "submitted-1-Canary-file.txt"]


async def test_a_number_that_was_stored_before_its_limit_does_not_break_the_export(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    number = {"kind": "numeric", "text": "How many?", "value": 2}
    await take(student, await school.quiz(course, number), {"How many?": 2})
    for stored, shown in (("123456789012345678901234567890", 1.2345678901234568e29), ("1e400", None)):
        async with school.harness.db.session() as session:
            planted = text("UPDATE attempt_questions SET answer = CAST(:answer AS jsonb)")
            await session.execute(planted, {"answer": stored})
        part = await export(school.harness, student.uuid)
        assert [row["answer"] for row in part["data"]["answers"]] == [shown]


async def test_a_row_that_cannot_be_read_ends_the_export_at_once(school: School):
    student = await school.enrolled(await school.course())
    async with school.harness.db.session() as session:
        await session.execute(text("UPDATE enrollments SET enrolled_at = 'infinity'"))
    request = ExportRequested(job=uuid4(), user=student.uuid)
    await school.harness.deliver(request)
    await school.harness.run_tasks()
    [(kind, answer)] = await answers_to(school.harness, request.job)
    assert (kind, answer["reason"]) == ("learning.export_part_failed.v1", "not_packed")


async def test_an_export_holds_no_grade_that_is_hidden(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    never = {"score": "never", "correctness": "never", "answers": "never"}
    quiz = await school.quiz(course, TRUTH, feedback=never)
    attempt = await take(student, quiz, {TRUTH["text"]: False})
    comment = {"question": attempt["questions"][0]["uuid"], "points": 0.75, "comment": "Canary-hidden"}
    done(await school.teacher.client.patch(f"/api/attempts/{attempt['uuid']}/grade/", json=comment))
    work = await school.assignment(course, posted=False)
    path = f"/api/assignments/{work['uuid']}/submissions/"
    handed_in = done(await student.client.post(path, json={"text": "Mine."}), 201)
    grade = {"score": 13.5, "feedback": "Canary-hidden"}
    done(await school.teacher.client.patch(f"/api/submissions/{handed_in['uuid']}/grade/", json=grade))
    unseen = await school.assignment(course, posted=False)
    grades = f"/api/assignments/{unseen['uuid']}/grades/{student.uuid}/"
    done(await school.teacher.client.put(grades, json={"score": 13.5}))
    data = (await export(school.harness, student.uuid))["data"]
    assert "Canary-hidden" not in str(data)
    assert "13.5" not in str(data)
    assert [(row["score"], row["passed"]) for row in data["quiz_attempts"]] == [(None, None)]
    assert [(row["status"], row["score"]) for row in data["submissions"]] == [("submitted", None)]
    assert data["quiz_results"] == []
    assert {row["status"] for row in data["grades"]} == {"submitted"}
    done(await school.teacher.client.patch(f"/api/assignments/{work['uuid']}/", json={"posted": True}))
    data = (await export(school.harness, student.uuid))["data"]
    assert [row["score"] for row in data["submissions"]] == [13.5]


async def test_what_waited_for_a_teacher_is_settled_when_its_text_goes(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, ESSAY, TRUTH)
    await take(student, quiz, {ESSAY["text"]: "Canary-essay", TRUTH["text"]: False})
    queue = f"/api/quizzes/{quiz['uuid']}/attempts/?status=submitted"
    assert done(await school.teacher.client.get(queue))["count"] == 1
    await erase(school.harness, student.uuid, tombstone_first=False)
    assert done(await school.teacher.client.get(queue))["count"] == 0
    [row] = done(await school.teacher.client.get(f"/api/quizzes/{quiz['uuid']}/attempts/"))["results"]
    assert (row["status"], row["score"]) == ("graded", 1)


@pytest.mark.parametrize("tombstone_first", [True, False])
async def test_an_erased_learner_leaves_grades_but_no_words(school: School, tombstone_first: bool):
    student, submission, certificate = await studied(school)
    await erase(school.harness, student.uuid, tombstone_first=tombstone_first)
    words = ("canary-", "canary name", "canary@")
    assert await tables_with(school.harness, *words) == set()
    teacher = school.teacher.client
    graded = done(await teacher.get(f"/api/submissions/{submission['uuid']}/"))
    assert (graded["score"], graded["feedback"], graded["text"]) == (17, "", "[erased]")
    checked = done(await school.harness.client().get(f"/api/certificates/{certificate['uuid']}/verify/"))
    assert (checked["valid"], checked["student_name"]) == (True, "")
    url = f"/api/certificates/{certificate['uuid']}/download/"
    refused(await teacher.get(url), 409, "learner_erased")
    assert not [path for path in await stored(school) if certificate["uuid"] in path]
    assert graded["files"] == []
    with pytest.raises(NotFound):
        await Storage(school.harness.settings).size(f"submissions/{submission['files'][0]['uuid']}")
    facts = [(kind, seq) for kind, key, seq in await school.published() if key == submission["uuid"]]
    assert facts[-1] == ("learning.submission_redacted.v1", 3)
    async with school.harness.db.sessions() as session:
        row = await session.execute(text("SELECT study_seconds, position_seconds FROM lesson_progress"))
        assert sorted(tuple(each) for each in row) == [(0, 0), (20, 0)]


async def test_a_seat_of_an_erased_learner_goes_to_whoever_waits(school: School):
    course = await school.course(enrollment_limit=1)
    student = await school.enrolled(course, "Canary Name")
    waiting, leaving = await school.person("Eve"), await school.person("Canary Two")
    for person in (leaving, waiting):
        path = f"/api/courses/{course}/enroll/"
        done(await person.client.post(path, json={"waitlist": True}), 201)
    await erase(school.harness, leaving.uuid)
    await erase(school.harness, student.uuid)
    [mine] = done(await waiting.client.get("/api/enrollments/"))["results"]
    assert mine["status"] == "enrolled"
    last = {key: seq for kind, key, seq in await school.published()}
    async with school.harness.db.sessions() as session:
        rows = await session.execute(text("SELECT uuid::text, version, status FROM enrollments"))
        found = {status: (uuid, version) for uuid, version, status in rows}
    assert set(found) == {"dropped", "enrolled"}
    assert all(last[uuid] == version for uuid, version in found.values())


async def test_a_certificate_that_is_being_made_meanwhile_is_not_issued(school: School):
    course = await school.course(uuid4())
    student = await school.enrolled(course, "Canary Name")
    await school.complete(student, course, school.lessons(course)[0])
    request = ErasureRequested(job=uuid4(), user=student.uuid, user_version=9, actor=student.uuid)
    before = await stored(school)
    await apply(school.harness, as_record(request, 1))  # asked for; the name is still known
    await school.harness.run_tasks()
    assert await stored(school) == before
    await apply(school.harness, tombstone(student.uuid, 9))
    assert await school.events("certificate_issued") == []
    assert await tables_with(school.harness, "canary") == set()
