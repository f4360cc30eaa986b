"""The demo catalogue, and weeks of its learners: `python -m deploy.local.seed_history --size medium`.

Runs catalog, learning and forum in this process, on the suite's own databases, with a clock that is set for
each call: every act is an ordinary request, and its events take the ordinary way. What was done is written to
`seed.json`, so that a seed that was cut off goes on. Progress goes to standard output, as JSON lines.
"""

import argparse
import asyncio
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from deploy.local.demo.catalogue import CATEGORIES, COURSES, TUTORS
from deploy.local.demo.parts import DemoCourse, Json, Lesson
from deploy.local.project import SetupError, write_private
from deploy.local.seed import email_of
from deploy.local.seed_plan import AUTHORED, SIZES, Act, acts, people
from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue
from libs.common.runtime.clock import moved_to
from libs.common.security.tokens import KeySet, SigningKey, mint
from services.identity.admin import create_people
from services.identity.settings import Settings

SERVICES = ("catalog", "learning", "forum")
PATIENCE = 30.0
"""Seconds in which what another service is to hear of may still be unknown."""
RENEW_AFTER = 300.0
SAVE_EVERY = 100
Report = Callable[[int, int, str], None]


class History:
    """`state` is what `seed.json` holds: the moment that the weeks end, how far each size is, and ids."""

    def __init__(self, directory: Path, password: str, report: Report) -> None:
        self.file = directory / "seed.json"
        self.password = password
        self.report = report
        self.state: Json = json.loads(self.file.read_text()) if self.file.exists() else {}
        for name, value in (("ids", {}), ("learners", 0), ("target", 0), ("acts", 0)):
            self.state.setdefault(name, value)
        if not self.state["acts"]:  # weeks that were begun end when they were to end
            self.state["now"] = datetime.now(UTC).isoformat()
        self.now = datetime.fromisoformat(self.state["now"])
        self.ids: dict[str, str] = self.state["ids"]
        self.key = SigningKey.generate()
        self.apps: dict[str, Any] = {}
        self.clients: dict[str, httpx.AsyncClient] = {}
        self.tokens: dict[str, tuple[str, float]] = {}
        self.lessons: dict[tuple[int, str], Json] = {}

    def save(self) -> None:
        write_private(self.file, json.dumps(self.state, indent=1))

    async def run(self, size: str) -> None:
        await self._open()
        try:
            joined = (self.now - AUTHORED - timedelta(days=3)).isoformat()
            await self._people({"role": "teacher", "joined_at": joined}, *self._authors())
            await self._catalogue()
            begun = [self.state["target"]] if self.state["acts"] else []
            for target in [*begun, SIZES[size]]:
                if target > self.state["learners"]:
                    await self._weeks(self.state["learners"], target)
        finally:
            for app in self.apps.values():
                await app.state.db.close()

    async def _open(self) -> None:
        for service in SERVICES:
            app = import_module(f"services.{service}.app").make_app(keys=KeySet.static([self.key]))
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            self.apps[service] = app
            self.clients[service] = httpx.AsyncClient(transport=transport, base_url="http://seed")

    def _authors(self) -> list[Json]:
        """Demo users are there already: for them only the id is asked."""
        tutors: list[Json] = [
            {"email": email_of(name), "first_name": first, "last_name": last, "bio": bio}
            for name, (first, last, bio) in TUTORS.items()
        ]
        known = {"first_name": "", "last_name": ""}
        return tutors + [{"email": email_of(name), **known} for name in ("manager", "teacher", "teacher2")]

    async def _people(self, common: Json, *rows: Json) -> None:
        """Accounts by identity's own command; keeps their ids by the part of the address before the @."""
        settings = Settings()
        db = Database(settings, CeleryQueue(settings))
        try:
            lines = [json.dumps({**common, **row}) for row in rows]
            found: dict[str, str] = json.loads(await create_people(db, self.password, lines))
        finally:
            await db.close()
        self.ids |= {email.partition("@")[0]: uuid for email, uuid in found.items()}
        self.save()

    def token(self, who: str, role: str) -> str:
        """An access token that these applications alone trust."""
        known = self.tokens.get(who)
        if known is None or known[1] < time.monotonic():
            settings = self.apps["catalog"].state.settings
            made = mint(
                self.key, issuer=settings.token_issuer, audience=settings.token_audience,
                user=UUID(self.ids[who]), session=uuid4(), role=role, version=1,
            )  # fmt: skip
            self.tokens[who] = known = made, time.monotonic() + RENEW_AFTER
        return known[0]

    async def call(
        self, service: str, method: str, path: str, token: str, at: datetime, *accepted: int, **options: Any
    ) -> Any:
        """One request at `at`. What others must hear of first may take `PATIENCE` seconds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with moved_to(at):
                headers = {"Authorization": f"Bearer {token}"}
                answer = await self.clients[service].request(method, path, headers=headers, **options)
            empty = "/forums/?" in path and not answer.json().get("results")
            if (answer.is_success and not empty) or answer.status_code in accepted:
                return answer.json()
            early = empty or answer.status_code in (403, 404, 503) or "no such lesson" in answer.text
            if not early or time.monotonic() > deadline:
                raise SetupError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
            await asyncio.sleep(0.1)

    async def _catalogue(self) -> None:
        manager, at = self.token("manager", "manager"), self.now - AUTHORED
        known = await self.call("catalog", "GET", "/api/categories/", manager, at)
        slugs = {row["slug"] for row in known["results"]}
        for category in CATEGORIES:
            if category["slug"] not in slugs:
                await self.call("catalog", "POST", "/api/categories/", manager, at, json=category)
        # All lessons first: learning has then heard of the first ones when their exercises are made.
        drafts = [await self._draft(*each, at + timedelta(hours=7)) for each in enumerate(COURSES)]
        for number, (course, shown) in enumerate(zip(COURSES, drafts, strict=True)):
            if shown["status"] == "draft":
                await self._publish(course, shown, at + timedelta(hours=7 * (number + 2)))
                self.save()
            for module in shown["modules"]:
                self.lessons |= {(number, lesson["title"]): lesson for lesson in module["lessons"]}
            self.report(number + 1, len(COURSES), "courses")

    async def _draft(self, number: int, course: DemoCourse, at: datetime) -> Json:
        """A course with its lessons, as its teacher sees it."""
        teacher = self.token(course.teacher, "teacher")
        key = f"course:{number}"
        if key not in self.ids:
            own = await self.call("catalog", "GET", "/api/courses/teacher/", teacher, at)
            made = next((row for row in own if row["title"] == course.body["title"]), None)
            self.ids[key] = (made or await self._create(course, teacher, at))["uuid"]
        path = f"/api/courses/{self.ids[key]}/"
        shown: Json = await self.call("catalog", "GET", path, teacher, at)
        if shown["status"] == "draft":
            await self._author(path, course, shown, teacher, at)
            shown = await self.call("catalog", "GET", path, teacher, at)
        return shown

    async def _create(self, course: DemoCourse, teacher: str, at: datetime) -> Json:
        body = {**course.body, "category": course.category}
        featured = body.pop("is_featured", False)
        made: Json = await self.call("catalog", "POST", "/api/courses/", teacher, at, json=body)
        if featured:  # managers do that
            path, manager = f"/api/courses/{made['uuid']}/", self.token("manager", "manager")
            await self.call("catalog", "PATCH", path, manager, at, json={"is_featured": True})
        return made

    async def _author(self, path: str, course: DemoCourse, shown: Json, teacher: str, at: datetime) -> None:
        modules = {module["title"]: module for module in shown["modules"]}
        for title, lessons in course.modules.items():
            module = modules.get(title) or await self.call(
                "catalog",
                "POST",
                "/api/modules/",
                teacher,
                at,
                json={"course": shown["uuid"], "title": title},
            )
            there = {lesson["title"]: lesson for lesson in module.get("lessons", [])}
            for lesson in lessons:
                body = {**lesson.body, "module": module["uuid"]}
                made = there.get(lesson.title) or await self.call(
                    "catalog", "POST", f"{path}lessons/", teacher, at, json=body
                )
                if lesson.file and not made["file"]:
                    name, content, kind = lesson.file
                    upload = f"{path}lessons/{made['uuid']}/upload/"
                    files = {"file": (name, content(), kind)}
                    await self.call("catalog", "POST", upload, teacher, at, files=files)

    async def _publish(self, course: DemoCourse, shown: Json, at: datetime) -> None:
        """Quizzes and assignments, then the course."""
        teacher = self.token(course.teacher, "teacher")
        wanted = {lesson.title: lesson for lessons in course.modules.values() for lesson in lessons}
        for module in shown["modules"]:
            for lesson in module["lessons"]:
                where = {"course": shown["uuid"], "lesson": lesson["uuid"]}
                await self._exercise(wanted[lesson["title"]], where, teacher, at)
        await self.call("catalog", "POST", f"/api/courses/{shown['uuid']}/publish/", teacher, at)

    async def _exercise(self, lesson: Lesson, where: Json, teacher: str, at: datetime) -> None:
        for kind, body in (("quizzes", lesson.quiz), ("assignments", lesson.assignment)):
            if body is None:
                continue
            questions = body.get("questions", [])
            path = f"/api/{kind}/"
            found = await self.call("learning", "GET", f"{path}?course={where['course']}", teacher, at)
            made = next((row for row in found["results"] if row["lesson"] == where["lesson"]), None)
            if made is None:
                head = {name: value for name, value in body.items() if name != "questions"} | where
                made = await self.call("learning", "POST", path, teacher, at, json=head)
                for question in questions:
                    asking = f"{path}{made['uuid']}/questions/"
                    await self.call("learning", "POST", asking, teacher, at, json=question)
                if questions:
                    await self.call("learning", "POST", f"{path}{made['uuid']}/publish/", teacher, at)
            self.ids[f"{kind}:{where['lesson']}"] = made["uuid"]

    async def _weeks(self, first: int, last: int) -> None:
        await self._people({}, *(person.row for person in people(first, last, self.now)))
        plan = acts(first, last, self.now)
        self.state["target"] = last
        for number, act in enumerate(plan):
            if number < self.state["acts"]:
                continue
            await getattr(self, f"_{act.kind}")(act)
            if number % SAVE_EVERY == 0:
                self._keep(number + 1)
                self.report(number + 1, len(plan), f"{last - first} learners")
        self.state |= {"learners": last, "acts": 0, "target": last}
        self.save()
        self.report(len(plan), len(plan), f"{last - first} learners")

    def _keep(self, done: int) -> None:
        self.state["acts"] = done
        self.save()

    async def _as(
        self,
        act: Act,
        service: str,
        method: str,
        path: str,
        *accepted: int,
        teacher: bool = False,
        **body: Any,
    ) -> Any:
        token = self.token(f"learner{act.learner:03d}", "student")
        if teacher:
            token = self.token(COURSES[act.course].teacher, "teacher")
        options = {"json": body} if method != "GET" else {}
        return await self.call(service, method, path, token, act.at, *accepted, **options)

    def _path(self, act: Act) -> str:
        path = f"/api/courses/{self.ids[f'course:{act.course}']}/"
        return path if act.lesson is None else f"{path}lessons/{self._lesson(act)}/"

    def _lesson(self, act: Act) -> str:
        assert act.lesson is not None
        return str(self.lessons[act.course, act.lesson.title]["uuid"])

    async def _enroll(self, act: Act) -> None:
        await self._as(act, "learning", "POST", f"{self._path(act)}enroll/")

    async def _favorite(self, act: Act) -> None:
        await self._as(act, "catalog", "POST", f"{self._path(act)}add-to-favorites/")

    async def _study(self, act: Act) -> None:
        beat = {"position_seconds": act.value, "seconds_spent": 60}
        await self._as(act, "learning", "POST", f"{self._path(act)}progress/", **beat)

    async def _finish(self, act: Act) -> None:
        await self._as(act, "learning", "POST", f"{self._path(act)}complete/")

    async def _quiz(self, act: Act) -> None:
        assert act.lesson is not None
        assert act.lesson.quiz is not None
        quiz = self.ids[f"quizzes:{self._lesson(act)}"]
        attempt = await self._as(act, "learning", "POST", f"/api/quizzes/{quiz}/attempts/")
        path = f"/api/attempts/{attempt['uuid']}/"
        known = {question["text"]: question for question in act.lesson.quiz["questions"]}
        right = dict(zip(known, act.value, strict=True))
        for asked in attempt["questions"]:
            given = answer(known[asked["text"]], asked, right=right[asked["text"]])
            await self._as(act, "learning", "PUT", f"{path}answers/{asked['uuid']}/", answer=given)
        await self._as(act, "learning", "POST", f"{path}submit/")

    async def _submit(self, act: Act) -> None:
        work = self.ids[f"assignments:{self._lesson(act)}"]
        path = f"/api/assignments/{work}/submissions/"
        made = await self._as(act, "learning", "POST", path, text=act.value)
        self.ids[f"work:{act.learner}:{work}"] = made["uuid"]

    async def _grade(self, act: Act) -> None:
        work = self.ids.get(f"work:{act.learner}:{self.ids[f'assignments:{self._lesson(act)}']}")
        if work is not None:
            score, feedback = act.value
            path = f"/api/submissions/{work}/grade/"
            await self._as(act, "learning", "PATCH", path, teacher=True, score=score, feedback=feedback)

    async def _review(self, act: Act) -> None:
        stars, comment = act.value
        course = self.ids[f"course:{act.course}"]
        body = {"course": course, "rating": stars, "comment": comment}
        await self._as(act, "catalog", "POST", "/api/reviews/", 409, **body)

    async def _ask(self, act: Act) -> None:
        if f"asked:{act.key}" not in self.ids:
            course = self.ids[f"course:{act.course}"]
            # The course's forum is listed once its service knows that the learner is in.
            page = await self._as(act, "forum", "GET", f"/api/core/forums/?course={course}")
            body = {
                "forum": page["results"][0]["uuid"], "title": act.value, "discussion_type": "question",
                "content": f"{act.value} I have read the lesson twice and am still not sure.",
            }  # fmt: skip
            made = await self._as(act, "forum", "POST", "/api/core/discussions/", **body)
            self.ids[f"asked:{act.key}"] = made["uuid"]
            self.save()

    async def _answer(self, act: Act) -> None:
        if f"answered:{act.key}" not in self.ids and f"asked:{act.key}" in self.ids:
            body = {"discussion": self.ids[f"asked:{act.key}"], "content": act.value}
            made = await self._as(act, "forum", "POST", "/api/core/replies/", teacher=True, **body)
            path = f"/api/core/replies/{made['uuid']}/mark-solution/"
            await self._as(act, "forum", "POST", path, teacher=True)
            self.ids[f"answered:{act.key}"] = made["uuid"]
            self.save()

    async def _upvote(self, act: Act) -> None:
        if reply := self.ids.get(f"answered:{act.key}"):
            await self._as(act, "forum", "POST", f"/api/core/replies/{reply}/upvote/")

    async def _echo(self, act: Act) -> None:
        if discussion := self.ids.get(f"asked:{act.key}"):
            body = {"discussion": discussion, "content": act.value}
            await self._as(act, "forum", "POST", "/api/core/replies/", **body)


def answer(known: Json, asked: Json, *, right: bool) -> Any:
    """What a learner who is right, or is not, answers to a question of an attempt."""
    kind = known["kind"]
    if kind in ("single_choice", "multiple_choice"):
        good = {option["text"] for option in known["options"] if option.get("is_correct")}
        picked = [each["uuid"] for each in asked["options"] if (each["text"] in good) == right]
        return picked[0] if kind == "single_choice" else picked
    if kind == "true_false":
        return known["correct"] == right
    if kind == "numeric":
        return known["value"] if right else known["value"] + known["tolerance"] + 1
    if kind == "short_answer":
        return known["accepted"][0] if right else "I do not know"
    if kind == "matching":
        rights = {each["text"]: each["uuid"] for each in asked["rights"]}
        pairs = {pair["left"]: rights[pair["right"]] for pair in known["pairs"]}
        given = [pairs[each["text"]] for each in asked["lefts"]]
        given = given if right else given[1:] + given[:1]
        return {each["uuid"]: one for each, one in zip(asked["lefts"], given, strict=True)}
    places = {text: place for place, text in enumerate(known["items"])}
    items = sorted(asked["items"], key=lambda each: places[each["text"]], reverse=not right)
    return [each["uuid"] for each in items]


def _report(done: int, of: int, what: str) -> None:
    print(json.dumps({"done": done, "of": of, "what": what}), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the demo catalogue and its learners' weeks.")
    parser.add_argument("--size", choices=SIZES, default="small")
    arguments = parser.parse_args()
    directory = Path(os.environ["LECTERN_DIRECTORY"])
    if os.environ.get("LECTERN_ENVIRONMENT") == "production":
        print("Demo people have a public password and do not belong in production.", file=sys.stderr)
        return 1
    with open(directory / "seed.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        history = History(directory, os.environ["LECTERN_DEMO_PASSWORD"], _report)
        try:
            asyncio.run(history.run(arguments.size))
        except SetupError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
