"""People of every role, and things of theirs made through the gateway, for the tests of who may do what."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image

from libs.common.testing.harness import eventually
from tests.conftest import run_module
from tests.support import PASSWORD, Json, Stage, Visitor

ROLES = ("anonymous", "student", "teacher", "moderator", "manager", "admin", "owner", "member")


@dataclass
class World:
    """Who there is. `owner` teaches the courses made here and `member` is enrolled in them."""

    stage: Stage
    people: dict[str, Visitor] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    _count: int = 0

    @classmethod
    async def make(cls, stage: Stage) -> "World":
        world = cls(stage, {"anonymous": stage.visitor()})
        admin = world.people["admin"] = stage.visitor("admin")
        made = await asyncio.to_thread(
            run_module, stage.project, "services.identity.admin", "create",
            "--email", admin.email, "--password", PASSWORD,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        await admin.login()
        for name in ("student", "teacher", "moderator", "manager", "owner", "member"):
            role = "student" if name in ("student", "member") else "teacher"
            world.people[name] = await stage.join(name, role)
        for name in ("moderator", "manager"):
            visitor = world.people[name]
            await admin.call("PATCH", f"/api/accounts/users/{visitor.uuid}/", json={"role": name})
            await visitor.login()
        return world

    def __getattr__(self, name: str) -> Visitor:
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None

    def name(self) -> str:
        """A word that nothing else has."""
        self._count += 1
        return f"{self.stage.mark}x{self._count}"

    async def once(self, make: Callable[["World"], Awaitable[Any]]) -> Any:
        """What `make` made the first time."""
        if make.__name__ not in self.shared:
            self.shared[make.__name__] = await make(self)
        return self.shared[make.__name__]


async def until(who: Visitor, method: str, path: str, **options: Any) -> Json:
    """The answer once it is a success: a service may hear of a new course a moment later."""

    async def answered() -> Json | None:
        answer = await who.raw(method, path, **options)
        return answer.json() if answer.is_success else None

    found: Json = await eventually(answered)
    return found


async def draft(world: World) -> Json:
    """A course of the owner with one module and one lesson."""
    course = await world.owner.post(
        "/api/courses/",
        {
            "title": f"Course {world.name()}",
            "description": "A course that is long enough to say what it is about, and no more.",
        },
        201,
    )
    module = await world.owner.post("/api/modules/", {"course": course["uuid"], "title": "One"}, 201)
    lesson = await world.owner.post(
        f"/api/courses/{course['uuid']}/lessons/",
        {"module": module["uuid"], "title": "First", "content_type": "text", "text_content": "Read."},
        201,
    )
    return {"uuid": course["uuid"], "module": module["uuid"], "lesson": lesson["uuid"]}


async def course(world: World) -> Json:
    """The same, published."""
    made = await draft(world)
    await world.owner.post(f"/api/courses/{made['uuid']}/publish/")
    return made


async def seat(world: World) -> Json:
    """A published course in which the member is enrolled, known to every service."""
    made = await course(world)
    enrolled = await until(world.member, "POST", f"/api/courses/{made['uuid']}/enroll/", json={})
    forum = await until_listed(world.member, f"/api/core/forums/?course={made['uuid']}")
    await until(world.member, "GET", f"/api/courses/{made['uuid']}/lessons/{made['lesson']}/")
    return made | {
        "enrollment": enrolled["uuid"], "forum": forum["uuid"], "member": world.member.uuid,
    }  # fmt: skip


async def review(world: World) -> Json:
    """A review by the member of the owner's course."""
    made = await seat(world)
    return await until(world.member, "POST", "/api/reviews/", json={"course": made["uuid"], "rating": 5})


async def media(world: World) -> Json:
    """A file in the owner's library."""
    answer = await world.owner.raw(
        "POST", "/api/core/media/", files={"file": ("notes.txt", b"Some notes.", "text/plain")}
    )
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def upload(world: World) -> Json:
    """A file of the owner's that is to come in parts."""
    made: Json = await world.owner.post("/api/core/media/uploads/", {"name": "notes.txt", "length": 5}, 201)
    return made


async def whole_upload(world: World) -> Json:
    """One whose parts have all come."""
    made = await upload(world)
    path, headers = f"/api/core/media/uploads/{made['uuid']}/", {"Upload-Offset": "0"}
    whole: Json = await world.owner.call("PATCH", path, content=b"Notes", headers=headers)
    return whole


async def until_listed(who: Visitor, path: str) -> Json:
    async def first() -> Json | None:
        results = (await who.get(path))["results"]
        return results[0] if results else None

    found: Json = await eventually(first)
    return found


async def quiz(world: World) -> Json:
    """An unpublished quiz of the owner with one question, in a course where the member is enrolled."""
    place = await world.once(seat)
    made = await world.owner.post("/api/quizzes/", {"course": place["uuid"], "title": "Check"}, 201)
    question = await world.owner.post(
        f"/api/quizzes/{made['uuid']}/questions/",
        {"kind": "true_false", "text": "Is it?", "points": 1, "correct": True},
        201,
    )
    return {
        "uuid": made["uuid"],
        "question": question["uuid"],
        "course": place["uuid"],
        "member": world.member.uuid,
    }


async def published_quiz(world: World) -> Json:
    made = await quiz(world)
    await world.owner.post(f"/api/quizzes/{made['uuid']}/publish/")
    return made


async def attempt(world: World) -> Json:
    """An attempt of the member that is under way."""
    made = await published_quiz(world)
    started = await world.member.post(f"/api/quizzes/{made['uuid']}/attempts/", status=201)
    return made | {"quiz": made["uuid"], "uuid": started["uuid"]}


async def submitted_attempt(world: World) -> Json:
    """An attempt of the member that is handed in, with nothing answered."""
    made = await attempt(world)
    await world.member.post(f"/api/attempts/{made['uuid']}/submit/")
    return made


async def bank(world: World) -> Json:
    """A question bank of the owner with one question."""
    place = await world.once(seat)
    made = await world.owner.post("/api/question-banks/", {"course": place["uuid"], "title": "Easy"}, 201)
    question = await world.owner.post(
        f"/api/question-banks/{made['uuid']}/questions/",
        {"kind": "true_false", "text": "Is it?", "points": 1, "correct": True},
        201,
    )
    return {"uuid": made["uuid"], "question": question["uuid"]}


async def assignment(world: World) -> Json:
    place = await world.once(seat)
    made = await world.owner.post(
        "/api/assignments/", {"course": place["uuid"], "title": "Draw", "points": 10}, 201
    )
    return {"uuid": made["uuid"], "course": place["uuid"], "member": world.member.uuid}


async def graded_seat(world: World) -> Json:
    """A course of the owner with one assignment, `Draw`, in which the member is enrolled."""
    made = await seat(world)
    await until(
        world.owner, "POST", "/api/assignments/", json={"course": made["uuid"], "title": "Draw", "points": 10}
    )
    return made


async def submission(world: World) -> Json:
    made = await assignment(world)
    handed_in = await world.member.post(
        f"/api/assignments/{made['uuid']}/submissions/", {"text": "My work."}, 201
    )
    return {"uuid": handed_in["uuid"], "assignment": made["uuid"]}


async def certificate(world: World) -> Json:
    """A certificate of the member, its PDF made."""
    made = await seat(world)
    await world.member.post(f"/api/courses/{made['uuid']}/lessons/{made['lesson']}/complete/")

    async def issued() -> Json | None:
        rows = (await world.member.get(f"/api/certificates/?course={made['uuid']}"))["results"]
        return rows[0] if rows and rows[0]["pdf_file"] else None

    return await eventually(issued, 40)


async def certificate_logo(world: World) -> Json:
    """A course whose certificates have a logo."""
    place = await seat(world)
    picture = BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    answer = await world.owner.raw(
        "PUT",
        f"/api/courses/{place['uuid']}/certificate-template/logo/",
        files={"image": ("dot.png", picture.getvalue(), "image/png")},
    )
    assert answer.is_success, answer.text
    return place


async def discussion(world: World) -> Json:
    """A discussion of the member in the owner's course."""
    place = await world.once(seat)
    return await world.member.post(
        "/api/core/discussions/",
        {"forum": place["forum"], "title": "Why so?", "content": "I wonder.", "discussion_type": "question"},
        201,
    )


async def reply(world: World) -> Json:
    """A reply of the member to their own question."""
    within = await discussion(world)
    return await world.member.post(
        "/api/core/replies/", {"discussion": within["uuid"], "content": "Because."}, 201
    )


async def flagged(world: World) -> Json:
    """A reply of the member that waits in the moderation queue."""
    made = await reply(world)
    await world.owner.post(f"/api/core/replies/{made['uuid']}/flag/", {"reason": "Off topic"})
    rows = (await world.moderator.get("/api/core/moderation/?page_size=100"))["results"]
    return next(row for row in rows if row["uuid"] == made["uuid"])


async def deleted_post(world: World) -> Json:
    made = await reply(world)
    await world.moderator.call("DELETE", f"/api/core/replies/{made['uuid']}/")
    return made


async def platform_forum(world: World) -> Json:
    return await world.manager.post("/api/core/forums/", {"title": f"Café {world.name()}"}, 201)


async def notification(world: World) -> Json:
    """An unread notification of the member."""
    await world.member.post("/api/core/notifications/mark-all-read/")
    await seat(world)
    return await until_listed(world.member, "/api/core/notifications/?is_read=false")


async def ticket(world: World) -> Json:
    return await world.member.post(
        "/api/core/support-tickets/",
        {"subject": "It does not play", "description": "The video stays black in my browser."},
        201,
    )


async def resolved_ticket(world: World) -> Json:
    made = await ticket(world)
    return await world.moderator.post(
        f"/api/core/support-tickets/{made['uuid']}/status/", {"status": "resolved"}
    )


async def category(world: World) -> Json:
    return await world.manager.post("/api/categories/", {"name": f"Subject {world.name()}"}, 201)


async def tag(world: World) -> Json:
    return await world.manager.post("/api/tags/", {"name": f"Word {world.name()}"}, 201)


async def person(world: World) -> Json:
    """Somebody who has just registered."""
    email = f"{world.name()}@lectern.example"
    body = {
        "email": email,
        "password": PASSWORD,
        "first_name": "New",
        "last_name": "Person",
        "role": "student",
    }
    await world.anonymous.post("/api/accounts/register/", body, 201)
    return await until_listed(world.admin, f"/api/accounts/users/?search={email}")


async def enrol(caller: Visitor) -> None:
    """Begin with a second factor that is never confirmed."""
    if caller.access:
        await caller.post("/api/accounts/users/me/mfa/enrol/")


async def card(world: World) -> Json:
    """The owner, a teacher, as others see them."""
    return {"uuid": world.owner.uuid}


async def export(world: World) -> Json:
    """An export of the owner."""
    return await world.owner.post("/api/accounts/users/me/export/", status=202)


async def numbers(world: World) -> Json:
    """An export of numbers of the owner's courses."""
    body = {"query": {"measures": ["enrollments.count"]}}
    return await world.owner.post("/api/analytics/exports/", body, status=202)


def weekly(world: World, _: object = None) -> Json:
    """A report to the owner, a teacher."""
    query = {"measures": ["enrollments.count"]}
    schedule = {"cron": "0 7 * * 1", "time_zone": "Europe/London"}
    recipients = [world.owner.uuid]
    return {"name": "Weekly", "query": query, "format": "csv", "schedule": schedule, "recipients": recipients}


async def report(world: World) -> Json:
    """A report of the owner's; analytics may hear of them a moment later."""
    return await until(world.owner, "POST", "/api/analytics/reports/", json=weekly(world))


async def run(world: World) -> Json:
    """A run of the owner's report."""
    made = await world.once(report)
    return await world.owner.post(f"/api/analytics/reports/{made['uuid']}/runs/", status=202)


async def login(world: World) -> Visitor:
    """One more login of the owner, beside the one that calls."""
    other = world.stage.visitor()
    other.email = world.owner.email
    return await other.login()


async def session(world: World) -> Json:
    """A session of the owner that is not the calling one."""
    await login(world)
    rows = (await world.owner.get("/api/accounts/users/me/sessions/"))["results"]
    return next(row for row in rows if not row["is_current"])
