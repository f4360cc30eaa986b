"""Five hundred learners take one quiz: all start within five seconds, save for a minute, submit together.

Through the gateway of a private suite, on connections of their own. What was answered with a success is
compared with the database afterwards: nothing may be lost, and nothing else may be there.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import psutil
import psycopg

from deploy.local.control import down, up
from deploy.local.project import CHECKOUT, DATABASE, Project, environment
from deploy.local.testing import temporary_directory
from tests.bench.figures import Figure

LEARNERS, START_WITHIN, SAVE_EVERY, SECONDS = 500, 5.0, 5.0, 60.0
TEACHER, COURSE = uuid4(), uuid4()
FILL = """
INSERT INTO learning.courses (uuid, title, slug, short_description, status, level, language, tags, instructor,
  instructors, is_featured, revision, modules, draft_modules, lessons, points, prerequisites, created_at,
  updated_at)
 VALUES (%(course)s, 'Storm', 'storm', '', 'published', 'beginner', 'en', '[]', %(teacher)s,
  ARRAY[%(teacher)s]::uuid[], false, 1, '[]', '[]', '{}', '{}', '{}', now(), now());
INSERT INTO learning.enrollments (uuid, version, course, student, status, revision, completed_lessons,
  progress_percentage, enrolled_at)
 SELECT gen_random_uuid(), 1, %(course)s, student, 'enrolled', 1, '{}', 0, now()
 FROM unnest(%(students)s::uuid[]) student;
"""
ANSWERS = """
SELECT a.student::text, a.status, a.score::float, q.question::text, q.answer
FROM learning.attempts a JOIN learning.attempt_questions q ON q.attempt = a.uuid
WHERE a.quiz = %s
"""
QUESTIONS: list[dict[str, Any]] = [
    {
        "kind": "single_choice",
        "text": "Which?",
        "options": [{"text": f"{n}", "is_correct": n == 1} for n in range(4)],
    },
    {
        "kind": "multiple_choice",
        "text": "Which ones?",
        "options": [{"text": f"{n}", "is_correct": n < 2} for n in range(5)],
    },
    {"kind": "true_false", "text": "Is it?", "correct": True},
    {"kind": "short_answer", "text": "What?", "accepted": ["an edge", "edge"]},
    {"kind": "numeric", "text": "How many?", "value": 40, "tolerance": 2},
    {"kind": "ordering", "text": "Sort", "items": [f"item {n}" for n in range(5)]},
    {"kind": "matching", "text": "Match", "pairs": [{"left": f"l{n}", "right": f"r{n}"} for n in range(4)]},
]


def sign_tokens() -> None:
    """What a process with the suite's environment does: access tokens as identity would sign them."""
    from libs.common.security.tokens import SigningKey, mint
    from services.identity.crypto import Vault
    from services.identity.settings import Settings

    settings = Settings()
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        row = connection.execute(
            "SELECT private_key FROM identity.token_keys"
            " WHERE private_key IS NOT NULL AND signs_from <= now() ORDER BY signs_from DESC LIMIT 1"
        ).fetchone()
    assert row is not None
    key = SigningKey.from_pem(Vault(settings.secret).decrypt(row[0]).decode())
    wanted: list[tuple[str, str]] = json.loads(sys.stdin.read())
    for user, role in wanted:
        token = mint(
            key,
            issuer=settings.token_issuer,
            audience=settings.token_audience,
            user=UUID(user),
            session=uuid4(),
            role=role,
            version=1,
        )
        print(token)


@dataclass
class Caller:
    """One person on a connection of their own; keeps how long each kind of call took."""

    port: int
    token: str
    user: str = ""
    waits: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)
    started: bool = False
    score: float | None = None
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def call(self, what: str, method: str, path: str, body: Any = None) -> Any:
        """The body of a success, or None, with the failure kept."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        began = time.perf_counter()
        try:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
            assert self.reader is not None
            self.writer.write(head.encode() + data)
            answer = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)).decode()
            length = re.search(r"content-length: (\d+)", answer, re.IGNORECASE)
            content = await self.reader.readexactly(int(length[1])) if length else b""
        except (OSError, EOFError, TimeoutError) as error:
            self.errors.append(f"{what}: {type(error).__name__}")
            self.reader = self.writer = None
            return None
        self.waits.setdefault(what, []).append((time.perf_counter() - began) * 1000)
        if answer[9] != "2":
            self.errors.append(f"{what}: {answer[9:12]} {problem_of(content)}")
            return None
        return json.loads(content)

    async def done(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.call("write", method, path, body)
        assert answer is not None, self.errors
        return answer

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def problem_of(content: bytes) -> str:
    """What an error says, without its request id."""
    try:
        problem = json.loads(content)
        return f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return content[:80].decode(errors="replace")


def some_answer(question: dict[str, Any], chance: random.Random) -> Any:
    kind = question["kind"]
    if kind == "single_choice":
        return chance.choice(question["options"])["uuid"]
    if kind == "multiple_choice":
        return [option["uuid"] for option in question["options"] if chance.random() < 0.5]
    if kind == "true_false":
        return chance.random() < 0.5
    if kind == "short_answer":
        return chance.choice(["an edge", "a hole", f"word {chance.random()}"])
    if kind == "numeric":
        return chance.randint(30, 50)
    if kind == "ordering":
        items = [item["uuid"] for item in question["items"]]
        chance.shuffle(items)
        return items
    rights = [right["uuid"] for right in question["rights"]]
    return {left["uuid"]: chance.choice(rights) for left in question["lefts"]}


async def learn(caller: Caller, quiz: str, began: float, number: int) -> None:
    chance = random.Random(number)
    await asyncio.sleep(START_WITHIN * number / LEARNERS)
    attempt = await caller.call("start", "POST", f"/api/quizzes/{quiz}/attempts/")
    if attempt is None:
        return
    caller.started = True
    place = f"/api/attempts/{attempt['uuid']}/"
    submit_at = began + START_WITHIN + SECONDS
    save_at = time.monotonic() + SAVE_EVERY
    while save_at < submit_at:
        await asyncio.sleep(max(0.0, save_at - time.monotonic()))
        question = chance.choice(attempt["questions"])
        answer = some_answer(question, chance)
        body = {"answer": answer}
        if await caller.call("save", "PUT", f"{place}answers/{question['uuid']}/", body) is not None:
            caller.kept[question["uuid"]] = answer
        save_at += SAVE_EVERY
    await asyncio.sleep(max(0.0, submit_at - time.monotonic()))
    result = await caller.call("submit", "POST", f"{place}submit/")
    if result is not None:
        caller.score = result["score"]


def lost(rows: list[tuple[Any, ...]], callers: list[Caller]) -> list[str]:
    """What the database and the successes do not agree about."""
    by_user: dict[str, dict[str, Any]] = {}
    states = {}
    for student, status, score, question, answer in rows:
        by_user.setdefault(student, {})[question] = answer
        states[student] = (status, None if score is None else round(score, 2))
    found = []
    for caller in callers:
        stored = {q: a for q, a in by_user.get(caller.user, {}).items() if a is not None}
        if stored != caller.kept:
            found.append(f"{caller.user}: answers differ")
        if caller.started and len(by_user.get(caller.user, {})) != len(QUESTIONS):
            found.append(f"{caller.user}: not one attempt")
        state = states.get(caller.user)
        if caller.score is not None and (state is None or state != ("graded", round(caller.score, 2))):
            found.append(f"{caller.user}: {states.get(caller.user)}, answered {caller.score}")
    return found


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


async def storm(project: Project) -> tuple[list[Caller], list[str]]:
    students = [str(uuid4()) for _ in range(LEARNERS)]
    wanted = [(str(TEACHER), "teacher"), *((student, "student") for student in students)]
    signed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", "from tests.bench.quiz_storm import sign_tokens; sign_tokens()"],
        cwd=CHECKOUT,
        env=environment(project),
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, *others = signed.stdout.split()
    port = project.ports["gateway"]
    url = project.postgres_url.rpartition("/")[0] + f"/{DATABASE}"
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, cursor_factory=psycopg.AsyncClientCursor
    ) as connection:
        values = {"course": COURSE, "teacher": TEACHER, "students": students}
        await connection.execute(FILL, values)
        teacher = Caller(port, first)
        body = {"course": str(COURSE), "title": "Storm", "shuffle_questions": True, "time_limit_seconds": 600}
        quiz = await teacher.done("POST", "/api/quizzes/", body)
        for question in QUESTIONS:
            await teacher.done("POST", f"/api/quizzes/{quiz['uuid']}/questions/", question)
        await teacher.done("POST", f"/api/quizzes/{quiz['uuid']}/publish/")
        teacher.close()
        callers = [Caller(port, token, student) for token, student in zip(others, students, strict=True)]
        began = time.monotonic()
        await asyncio.gather(*(learn(caller, quiz["uuid"], began, n) for n, caller in enumerate(callers)))
        rows = await (await connection.execute(ANSWERS, (quiz["uuid"],))).fetchall()
    for caller in callers:
        caller.close()
    return callers, lost(rows, callers)


def used(project: Project) -> dict[str, float]:
    """CPU seconds of the suite's processes by what they are."""
    seconds: dict[str, float] = {}
    for process in psutil.process_iter(["cmdline", "environ", "cpu_times"]):
        environ = process.info["environ"] or {}
        if environ.get("LECTERN_DIRECTORY") != str(project.directory) or not process.info["cmdline"]:
            continue
        line = " ".join(process.info["cmdline"])
        name = next((n for n in ("gateway", "learning", "identity") if n in line), "other")
        times = process.info["cpu_times"]
        seconds[name] = seconds.get(name, 0.0) + times.user + times.system
    return seconds


async def measure() -> list[Figure]:
    with temporary_directory() as directory:
        project = replace(
            Project.for_tests(directory, extra={"GATEWAY_CONNECTIONS_PER_ADDRESS": "2000"}),
            services=("identity", "learning"),
        )
        try:
            await asyncio.to_thread(up, project)
            before = used(project)
            callers, differences = await storm(project)
            after = used(project)
        finally:
            await asyncio.to_thread(down, project)
    waits: dict[str, list[float]] = {}
    for caller in callers:
        for what, times in caller.waits.items():
            waits.setdefault(what, []).extend(times)
    errors = [error for caller in callers for error in caller.errors]
    every = [time for times in waits.values() for time in times]
    spread = "; ".join(
        f"{what} {len(times)} times, p50 {sorted(times)[len(times) // 2]:.0f} ms, p99 {p99(times):.0f} ms,"
        f" longest {max(times):.0f} ms"
        for what, times in waits.items()
    )
    cpu = ", ".join(f"{name} {after[name] - before.get(name, 0):.1f}" for name in sorted(after))
    reason = "500 submits come in one moment, and are graded, with two events each, one after the other"
    return [
        Figure(
            f"a quiz with {LEARNERS} learners, p99 of all calls",
            p99(every),
            " ms",
            least=1000,
            aim=200,
            at_most=True,
            detail=f"{spread}; CPU seconds: {cpu}",
            reason=reason,
        ),
        Figure(
            "refused calls in that quiz",
            float(len(errors)),
            least=0,
            aim=0,
            at_most=True,
            detail=", ".join(f"{number} times {error}" for error, number in Counter(errors).most_common(3)),
            reason="learning is one process here; who waits five seconds for a connection is sent away",
        ),
        Figure(
            "learners whose answers or result were lost in that quiz",
            float(len(differences)),
            least=0,
            aim=0,
            at_most=True,
            detail=", ".join(differences[:3]),
        ),
    ]
