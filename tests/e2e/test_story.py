"""One learner's story through the whole suite: real processes, the gateway alone. See docs/trace.md."""

import asyncio
import io
from typing import Any
from uuid import UUID

import orjson
import pytest
from pypdf import PdfReader

from libs.common.testing.harness import eventually
from tests.analyst_login import analyst_of
from tests.conftest import run_module
from tests.poison import Poison
from tests.support import Stage, Visitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj"
    b" 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n%%EOF\n"
)


class Story:
    """Chapters that build on each other; what later ones need is kept here."""

    stage: Stage
    admin: Visitor
    manager: Visitor
    teacher: Visitor
    ada: Visitor
    eve: Visitor
    visitor: Visitor
    course: str
    lessons: dict[str, str]
    quiz: dict[str, Any]
    right: dict[str, Any]
    assignment: str
    forum: str
    number: str
    before: dict[str, int]

    async def tell(self, stage: Stage, admin: Visitor) -> None:
        """All chapters, from the first account to the last number."""
        self.stage, self.admin = stage, admin
        await self.people()
        await self.publish()
        await self.enrol()
        await self.learn()
        await self.take_quiz()
        await self.hand_in()
        await self.certificate()
        await self.discuss()
        await self.get_help()
        await self.numbers()
        await self.ask_for_numbers()
        await self.mend_a_letter()
        await self.leave()
        await self.one_id()
        await self.audit()

    async def people(self) -> None:
        """The admin promotes a manager; a teacher and two students register by mailed code."""
        stage = self.stage
        await eventually(self._balanced, 30, interval=0.5)  # what others did here is counted
        self.before = (await self.admin.get("/api/core/analytics/platform/"))["platform_stats"]
        self.visitor = stage.visitor()
        self.manager = await stage.join("manager", "teacher")
        self.teacher = await stage.join("teacher", "teacher")
        self.ada = await stage.join("ada")
        self.eve = await stage.join("eve")
        path = f"/api/accounts/users/{self.manager.uuid}/"
        promoted = await self.admin.call("PATCH", path, json={"role": "manager"})
        assert promoted["role"] == "manager"
        await eventually(lambda: self._is_revoked(self.manager), 5)  # the old role's token dies
        await self.manager.login()

    async def _is_revoked(self, who: Visitor) -> bool:
        return (await who.raw("GET", "/api/accounts/users/me/")).status_code == 401

    async def publish(self) -> None:
        """A category, a course of two modules and five lessons, published and found by search."""
        mark = self.stage.mark
        category = await self.manager.post("/api/categories/", {"name": f"Mathematics {mark}"}, 201)
        body = {
            "title": f"Graph theory {mark}",
            "description": "Vertices and edges, paths and cycles, trees and colourings, from the beginning.",
            "short_description": "From bridges to colourings.",
            "category": category["uuid"],
            "level": "beginner",
            "language": "en",
            "tags": ["graphs", "discrete"],
            "learning_outcomes": "Tell a tree from a forest\nColour a map",
        }
        course = await self.teacher.post("/api/courses/", body, 201)
        self.course = course["uuid"]
        path = f"/api/courses/{self.course}/"
        hidden = await self.visitor.raw("GET", path)
        assert hidden.status_code == 404
        modules = [
            (
                await self.teacher.post(
                    "/api/modules/", {"course": self.course, "title": title, "order": n}, 201
                )
            )
            for n, title in enumerate(("Beginnings", "Trials"))
        ]
        self.lessons = {}
        kinds = {
            "video": (0, {"video_url": "https://video.example/bridges", "estimated_time_minutes": 10}),
            "text": (0, {"text_content": "A *graph* has vertices and edges."}),
            "pdf": (0, {}),
            "quiz": (1, {}),
            "assignment": (1, {"requires_submission": True}),
        }
        for order, (kind, (module, fields)) in enumerate(kinds.items()):
            lesson = await self.teacher.post(
                f"{path}lessons/",
                {
                    "module": modules[module]["uuid"],
                    "title": f"The {kind}",
                    "content_type": kind,
                    "order": order,
                }
                | fields,
                201,
            )
            self.lessons[kind] = lesson["uuid"]
        files = {"file": ("notes.pdf", PDF, "application/pdf")}
        uploaded = await self.teacher.raw("POST", f"{path}lessons/{self.lessons['pdf']}/upload/", files=files)
        assert uploaded.status_code in (200, 201), uploaded.text
        await self.author_quiz()
        published = await self.teacher.post(f"{path}publish/")
        assert published["status"] == "published"

        async def found() -> bool:
            page = await self.visitor.get(f"/api/courses/?search=graph theory {mark}")
            return any(row["uuid"] == self.course for row in page["results"])

        await eventually(found)
        detail = await self.visitor.get(path)
        assert [len(module["lessons"]) for module in detail["modules"]] == [3, 2]
        assert detail["instructor"]["full_name"] == "Teacher Lovelace"
        assert "A *graph*" not in orjson.dumps(detail).decode()

    async def author_quiz(self) -> None:
        """A quiz of three questions and an assignment, for their lessons."""
        body = {
            "course": self.course,
            "lesson": self.lessons["quiz"],
            "title": "Bridges",
            "kind": "graded",
            "pass_mark": 50,
            "attempts_allowed": 2,
            "feedback": {"score": "immediately", "correctness": "immediately", "answers": "never"},
        }
        self.quiz = await self.teacher.post("/api/quizzes/", body, 201)
        path = f"/api/quizzes/{self.quiz['uuid']}/"
        questions = [
            {"kind": "single_choice", "text": "How many bridges?", "points": 2,
             "options": [{"text": "seven", "is_correct": True}, {"text": "eight"}]},
            {"kind": "multiple_choice", "text": "Which are trees?", "points": 2,
             "options": [{"text": "path", "is_correct": True}, {"text": "star", "is_correct": True},
                         {"text": "cycle"}]},
            {"kind": "true_false", "text": "Every tree is a graph.", "points": 1, "correct": True},
        ]  # fmt: skip
        self.right = {}
        for question in questions:
            made = await self.teacher.post(f"{path}questions/", question, 201)
            if question["kind"] == "true_false":
                self.right[made["uuid"]] = True
            else:
                correct = [option["uuid"] for option in made["options"] if option["is_correct"]]
                self.right[made["uuid"]] = correct[0] if question["kind"] == "single_choice" else correct
        await self.teacher.post(f"{path}publish/")
        assignment = await self.teacher.post(
            "/api/assignments/",
            {"course": self.course, "lesson": self.lessons["assignment"], "title": "Colour a map",
             "instructions": "Colour the map of your country.", "points": 10},
            201,
        )  # fmt: skip
        self.assignment = assignment["uuid"]

    async def enrol(self) -> None:
        """Enrolling twice is one enrolment; a notification on the open socket, a mail, and the forum."""

        async def known() -> bool:
            return (await self.ada.raw("GET", f"/api/core/forums/?course={self.course}")).status_code == 200

        await eventually(known)
        async with self.ada.socket("/ws/notifications/") as socket:
            count = await socket.next(lambda frame: frame["type"] == "unread_count")
            assert count["unread_count"] == 0

            async def enrolled() -> Any:
                answer = await self.ada.raw("POST", f"/api/courses/{self.course}/enroll/", json={})
                return answer.json() if answer.status_code in (200, 201) else None

            first = await eventually(enrolled)  # learning may hear of the course a moment later
            again = await self.ada.post(f"/api/courses/{self.course}/enroll/")
            assert again["uuid"] == first["uuid"]
            frame = await socket.next(lambda frame: frame["type"] == "notification")
            assert frame["seq"] == 1
            assert frame["notification"]["notification_type"] == "enrollment"
            await socket.next(lambda f: f["type"] == "unread_count" and f["unread_count"] == 1)
        mails = await eventually(lambda: self._mails(self.ada, "enrolled"))
        assert len(mails) == 1
        await self.eve.post(f"/api/courses/{self.course}/enroll/", status=201)
        my = await self.ada.get("/api/enrollments/my-courses/")
        assert [row["course"]["uuid"] for row in my] == [self.course]
        forums = await self.ada.get(f"/api/core/forums/?course={self.course}")
        self.forum = forums["results"][0]["uuid"]

    async def _mails(self, who: Visitor, word: str) -> list[dict[str, Any]]:
        return [mail for mail in await self.stage.mails(who.email) if word in mail["subject"].lower()]

    async def progress(self) -> float:
        dashboard = await self.ada.get("/api/core/analytics/student/")
        return float(dashboard["course_progress"][0]["progress"])

    async def learn(self) -> None:
        """The dashboard read right after each write shows it: no waiting, the token does it."""
        path = f"/api/courses/{self.course}/lessons/"
        for number, kind in enumerate(("video", "text", "pdf"), 1):
            answer = await self.ada.post(f"{path}{self.lessons[kind]}/complete/")
            assert answer["progress_percentage"] == 20 * number
            assert await self.progress() == 20 * number
        body = await self.ada.get(f"{path}{self.lessons['text']}/")
        assert "graph" in orjson.dumps(body).decode()
        refused = await self.ada.raw("POST", f"{path}{self.lessons['quiz']}/complete/")
        assert (refused.status_code, refused.json()["code"]) == (409, "lesson_not_finished")

    async def take_quiz(self) -> None:
        """Answers are saved one by one, the attempt is left and taken up, submitted, and graded."""
        attempts = f"/api/quizzes/{self.quiz['uuid']}/attempts/"
        attempt = await self.ada.post(attempts, status=201)
        path = f"/api/attempts/{attempt['uuid']}/"
        ids = [question["uuid"] for question in attempt["questions"]]
        assert set(ids) == set(self.right)
        assert '"is_correct":true' not in orjson.dumps(attempt).decode()
        first, *rest = ids
        await self.ada.call("PUT", f"{path}answers/{first}/", json={"answer": self.right[first]})
        resumed = await self.ada.post(attempts)  # the tab was closed: the same attempt goes on
        assert resumed["uuid"] == attempt["uuid"]
        assert resumed["answers"][first] == self.right[first]
        for question in rest:
            await self.ada.call("PUT", f"{path}answers/{question}/", json={"answer": self.right[question]})
        result = await self.ada.post(f"{path}submit/")
        assert (result["score"], result["percentage"], result["passed"]) == (5, 100, True)
        assert (await self.ada.post(f"{path}submit/"))["score"] == 5
        assert await self.progress() == 80
        assert (await self.ada.get("/api/core/analytics/student/"))["summary"]["avg_quiz_score"] == 100

    async def hand_in(self) -> None:
        """The assignment is submitted and graded; the last lesson completes the course."""
        path = f"/api/assignments/{self.assignment}/submissions/"
        submission = await self.ada.post(path, {"text": "Red, green, blue, yellow."}, 201)
        assert submission["version"] == 1
        found = await self.teacher.get(path)
        rows = found["results"] if isinstance(found, dict) else found
        assert [row["uuid"] for row in rows] == [submission["uuid"]]
        graded = await self.teacher.call(
            "PATCH",
            f"/api/submissions/{submission['uuid']}/grade/",
            json={"score": 9, "feedback": "Well done."},
        )
        assert graded["score"] == 9
        outsider = await self.eve.raw("GET", f"/api/submissions/{submission['uuid']}/")
        assert outsider.status_code == 404
        assert await self.progress() == 100

    async def certificate(self) -> None:
        """It is made in the background, announced once by notification and mail, and anyone can check it."""

        async def issued() -> Any:
            page = await self.ada.get("/api/certificates/")
            rows = page["results"] if isinstance(page, dict) else page
            return rows[0] if rows and rows[0]["pdf_file"] else None

        certificate = await eventually(issued, 40)
        self.number = certificate["certificate_number"]
        pdf = await self.ada.raw("GET", f"/api/certificates/{certificate['uuid']}/download/")
        assert pdf.headers["content-type"] == "application/pdf"
        text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
        for part in ("Ada Lovelace", f"Graph theory {self.stage.mark}", self.number):
            assert part in text.replace("\n", " "), text
        checked = await self.visitor.get(
            f"/api/certificates/{self.number}/verify/", headers={"Accept": "application/json"}
        )
        assert checked["valid"] is True
        page = await self.visitor.raw(
            "GET", f"/api/certificates/{certificate['uuid']}/verify/", headers={"Accept": "text/html"}
        )
        assert page.headers["content-type"].startswith("text/html")

        async def announced() -> bool:
            page = await self.ada.get("/api/core/notifications/?notification_type=certificate_ready")
            return page["count"] == 1 and len(await self._mails(self.ada, "certificate")) == 1

        await eventually(announced, 30)
        denied = await self.eve.raw("GET", f"/api/certificates/{certificate['uuid']}/download/")
        assert denied.status_code == 404

    async def discuss(self) -> None:
        """A question, an answer that becomes the solution, an upvote; a chat that misses nothing."""
        question = await self.ada.post(
            "/api/core/discussions/",
            {"forum": self.forum, "title": "Is a single vertex a tree?", "content": "It has no edges.",
             "discussion_type": "question"},
            201,
        )  # fmt: skip
        reply = await self.teacher.post(
            "/api/core/replies/", {"discussion": question["uuid"], "content": "Yes, it is."}, 201
        )
        assert reply["is_instructor_reply"] is True
        marked = await self.ada.post(f"/api/core/replies/{reply['uuid']}/mark-solution/")
        assert marked["is_solution"] is True
        voted = await self.eve.post(f"/api/core/replies/{reply['uuid']}/upvote/")
        assert (voted["upvotes"], voted["has_upvoted"]) == (1, True)
        seen = await self.ada.get(f"/api/core/discussions/{question['uuid']}/")
        assert (seen["is_resolved"], seen["replies_count"]) == (True, 1)
        await self.chat(f"/ws/chat/{question['uuid']}/")

    async def chat(self, path: str) -> None:
        def message(text: str) -> Any:
            return lambda f: f["type"] == "message" and f["message"]["content"] == text

        async with self.ada.socket(path) as ada:
            async with self.eve.socket(path) as eve:
                await ada.next(lambda f: f["type"] == "presence" and len(f["users"]) == 2)
                await eve.send(action="typing")
                assert (await ada.next(lambda f: f["type"] == "typing"))["user"]["uuid"] == self.eve.uuid
                await eve.send(action="message", content="Hello Ada", client_id="c-1")
                await eve.send(action="message", content="Hello Ada", client_id="c-1")
                last = (await eve.next(message("Hello Ada")))["seq"]
                assert (await ada.next(message("Hello Ada")))["seq"] == last
            for number in range(3):
                await ada.send(action="message", content=f"while you were away {number}")
                await ada.next(message(f"while you were away {number}"))
            async with self.eve.socket(path, after=last) as eve:
                missed = [
                    (await eve.next(message(f"while you were away {number}")))["seq"] for number in range(3)
                ]
                assert missed == [last + 1, last + 2, last + 3]

    async def get_help(self) -> None:
        """A ticket is opened, assigned, answered, resolved, reopened and closed."""
        path = "/api/core/support-tickets/"
        ticket = await self.ada.post(
            path,
            {"subject": "Where is my certificate?", "description": "I cannot find the download button.",
             "priority": "high"},
            201,
        )  # fmt: skip
        path += f"{ticket['uuid']}/"
        assigned = await self.manager.post(f"{path}assign/", {"user": self.manager.uuid})
        assert assigned["assigned_to"]["uuid"] == self.manager.uuid
        await self.manager.post(f"{path}messages/", {"content": "Under your certificates."}, 201)
        assert (await self.manager.post(f"{path}status/", {"status": "resolved"}))["status"] == "resolved"
        assert (await self.ada.post(f"{path}reopen/"))["status"] == "open"
        assert (await self.ada.post(f"{path}status/", {"status": "closed"}))["status"] == "closed"
        assert (await self.eve.raw("GET", path)).status_code == 404

    async def numbers(self) -> None:
        """Every dashboard holds exactly what follows from the story."""

        async def student() -> None:
            body = await self.ada.get("/api/core/analytics/student/")
            summary = body["summary"]
            assert summary["total_courses"] == summary["completed_courses"] == 1
            assert summary["average_progress"] == summary["avg_quiz_score"] == 100
            assert (summary["total_quizzes"], summary["learning_streak"]) == (1, 1)
            assert body["performance"]["assignments"] == 90
            assert body["performance"]["participation"] == 40  # one question, three chat messages

        async def teacher() -> None:
            body = await self.teacher.get("/api/core/analytics/teacher/")
            assert body["summary"] == {
                "total_courses": 1, "published_courses": 1, "total_students": 2, "active_students_7d": 1,
                "avg_course_rating": 0,
            }  # fmt: skip
            assert body["student_activity"]["progress_distribution"] == {
                "not_started": 1, "in_progress": 0, "completed": 1,
            }  # fmt: skip
            assert body["discussion_activity"]["replies"] == 5

        async def course() -> None:
            body = await self.teacher.get(f"/api/courses/{self.course}/analytics/")
            assert body["summary"]["completion_rate"] == body["summary"]["avg_progress"] == 50
            assert [step["completed"] for step in body["funnel"]] == [1] * 5
            assert len(body["questions"]) == 3

        async def platform() -> None:
            stats = (await self.manager.get("/api/core/analytics/platform/"))["platform_stats"]
            assert {name: stats[name] - self.before[name] for name in stats} == {
                "total_users": 4, "active_users_7d": 4, "total_courses": 1, "published_courses": 1,
                "total_enrollments": 2, "completions": 1, "certificates": 1, "discussions": 1,
                "active_tickets": 0,
            }  # fmt: skip

        for check in (student, teacher, course, platform):
            await eventually(lambda check=check: _holds(check), 15)

    async def ask_for_numbers(self) -> None:
        """The teacher sees who falls behind, the manager takes numbers away, an analyst counts the same."""
        attempt = await self.eve.post(f"/api/quizzes/{self.quiz['uuid']}/attempts/", status=201)
        await self.eve.post(f"/api/attempts/{attempt['uuid']}/submit/")  # without an answer
        body = await eventually(self._at_risk, 15)
        assert [(row["student"]["uuid"], row["reasons"]) for row in body["at_risk"]] == [
            (self.eve.uuid, ["low_score"])
        ]
        job = await self.manager.post("/api/analytics/exports/", {"dataset": "courses", "format": "csv"}, 202)
        done = await eventually(lambda: self._done(f"/api/jobs/analytics/{job['uuid']}/"), 30)
        written = await self.manager.raw("GET", done["result_url"])
        assert written.text.count(self.course) == 1
        query = "SELECT count(*) FROM enrollments WHERE course = %s AND takes_part"
        async with analyst_of(self.stage.project, f"story_{self.stage.mark}") as connection:
            counted = await (await connection.execute(query, (self.course,))).fetchone()
        assert counted == (body["summary"]["total_students"],) == (2,)

    async def _at_risk(self) -> Any:
        body = await self.teacher.get(f"/api/courses/{self.course}/analytics/")
        return body if body["at_risk"] else None

    async def _done(self, path: str) -> Any:
        job = await self.manager.get(path)
        return job if job["status"] == "done" else None

    async def mend_a_letter(self) -> None:
        """An event that analytics could not read waits for the admin, who looks at it and mends it."""
        letters, project = "/api/ops/analytics/dead-letters/", self.stage.project
        poison = await Poison.publish(project, UUID(self.ada.uuid))
        found = await eventually(lambda: self._letter(letters, poison.key), 30)
        shown = await self.admin.get(f"{letters}{found['letter']}/")
        assert (shown["payload"], shown["type"]) == (poison.payload, "support.ticket_opened.v1")
        again = {"topic": poison.topic, "key": poison.key}
        assert (await self.admin.post(f"{letters}redrive/", again))["results"][0]["result"] == "failed"
        poison.mend(project)
        assert (await self.admin.post(f"{letters}redrive/", again))["results"][0]["result"] == "applied"
        assert await self._letter(letters, poison.key) is None

    async def _letter(self, letters: str, key: str) -> Any:
        page = await self.admin.get(f"{letters}?page_size=100")
        return next((row for row in page["results"] if row["key"] == key), None)

    async def leave(self) -> None:
        """After a logout the old access token is dead within five seconds."""
        await self.eve.post("/api/accounts/logout/")
        await eventually(lambda: self._is_revoked(self.eve), 5)

    async def audit(self) -> None:
        """Published = applied + parked for every consumer; rebuilt read models equal the live ones."""
        await eventually(self._balanced, 30, interval=0.5)
        rebuilt = await asyncio.to_thread(
            run_module, self.stage.project, "services.analytics.rebuild", "--json"
        )
        assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
        assert orjson.loads(rebuilt.stdout)["differing"] == []

    async def _balanced(self) -> bool:
        result = await asyncio.to_thread(run_module, self.stage.project, "libs.common.bus.audit")
        assert result.returncode == 0, result.stdout + result.stderr
        return True

    async def one_id(self) -> None:
        """One grep for a request id finds it in gateway, service, consumers and mail."""
        visitor = await self.stage.join("grace")
        request_id = f"story-{self.stage.mark}"
        await visitor.raw(
            "POST", f"/api/courses/{self.course}/enroll/", json={}, headers={"X-Request-ID": request_id}
        )
        mails = await eventually(lambda: self._mails(visitor, "enrolled"))
        assert mails[0]["subject"].startswith("You are enrolled")
        logs = self.stage.project.logs

        def written() -> bool:
            found = {
                path.stem for path in logs.glob("*.log") if request_id in path.read_text(errors="replace")
            }
            return found >= {"gateway", "learning", "notify", "analytics", "worker"}

        await eventually(written)


async def _holds(check: Any) -> bool:
    await check()
    return True


async def test_one_learners_story(stage: Stage, admin: Visitor):
    await Story().tell(stage, admin)
