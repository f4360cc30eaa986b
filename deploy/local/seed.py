"""Demo users and one demo course, made through the gateway as any client would; idempotent.

What is there already is left alone, so a seed that was cut off goes on where it stopped. The catalogue of
twelve courses and its learners' weeks are made by `seed_history`.
"""

import contextlib
import fcntl
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil

from deploy.local.demo_course import CATEGORY, COURSE, MODULES, TAGS, handout
from deploy.local.process import tail
from deploy.local.project import CHECKOUT, Project, SetupError, environment, write_private
from deploy.local.seed_plan import SIZES

PASSWORD = "Learn-together-1"  # documented, for demonstration on this machine only
USERS = {
    "admin": ("Ada", "Admin", "admin"),
    "manager": ("Mona", "Manager", "manager"),
    "moderator": ("Omar", "Moderator", "moderator"),
    "teacher": ("Tara", "Teacher", "teacher"),
    "teacher2": ("Tomas", "Tutor", "teacher"),
    "student": ("Sami", "Student", "student"),
    "student2": ("Sofia", "Scholar", "student"),
}
Json = dict[str, Any]


def email_of(name: str) -> str:
    return f"{name}@lectern.example"


def refuse_in_production(project: Project) -> None:
    """Raises SetupError: whoever reads the documentation knows the password of the demo's administrator."""
    if project.production:
        raise SetupError(
            "LECTERN_ENVIRONMENT is production, and demo users have a public password: start with "
            "'lectern up --no-seed' and make the first administrator with 'lectern admin create'."
        )


def write_demo(project: Project) -> Json:
    """`demo.json`: where everything is, and who may log in."""
    refuse_in_production(project)
    users = {name: {"email": email_of(name), "password": PASSWORD} for name in USERS}
    demo = {"gateway": project.gateway_url, "mail": project.mail_url, "users": users}
    write_private(project.directory / "demo.json", json.dumps(demo, indent=2) + "\n")
    return demo


def seed(project: Project, report: Callable[[str], None] = lambda _: None) -> Json:
    """Makes users and course where they are missing, and writes `demo.json`.

    Raises SetupError where the API refuses.
    """
    refuse_in_production(project)
    with httpx.Client(base_url=project.gateway_url, timeout=30) as http:
        people = Seed(project, http)
        tokens = people.users(report)
        people.course(tokens, report)
    return write_demo(project)


def begin_history(project: Project, size: str) -> bool:
    """Starts `seed_history` in the background; False where all of it is there or another one is at it."""
    refuse_in_production(project)
    if is_there(project, size) or _at_it(project):
        return False
    with open(project.logs / "seed.log", "a") as log:
        subprocess.Popen(
            _argv(size), cwd=CHECKOUT, env=_environment(project), stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
    return True


def end_history(project: Project) -> None:
    """Ends what `begin_history` has started; the next one goes on."""
    if not _at_it(project):
        return
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((project.directory / "seed.lock").read_text()))
        if "deploy.local.seed_history" in process.cmdline():
            process.terminate()
            process.wait(10)


def history(project: Project, size: str, progress: Callable[[int, int, str], None]) -> None:
    """Runs `seed_history` to its end, after another one that is at it; its log is `seed.log`.

    `progress` hears how far it is: done, of how many, of what.
    """
    refuse_in_production(project)
    if is_there(project, size):
        return
    log = project.logs / "seed.log"
    with (
        open(log, "a") as errors,
        subprocess.Popen(
            _argv(size), cwd=CHECKOUT, env=_environment(project), stdout=subprocess.PIPE, stderr=errors,
            text=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            step = json.loads(line)
            progress(step["done"], step["of"], step["what"])
    if process.returncode:
        raise SetupError(f"The demo courses could not be made.\n{tail(log)}")


def _argv(size: str) -> list[str]:
    return [sys.executable, "-m", "deploy.local.seed_history", "--size", size]


def _environment(project: Project) -> dict[str, str]:
    return environment(project) | {"LECTERN_DEMO_PASSWORD": PASSWORD, "LECTERN_LOG_LEVEL": "WARNING"}


def _at_it(project: Project) -> bool:
    """Whether a `seed_history` of this project runs: it holds the lock as long as it lives."""
    try:
        with open(project.directory / "seed.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def is_there(project: Project, size: str) -> bool:
    """Whether `seed.json` says that this size was made, and the catalogue is that of this suite."""
    try:
        state = json.loads((project.directory / "seed.json").read_text())
    except FileNotFoundError:
        return False
    if state["acts"] or state["learners"] < SIZES[size]:
        return False
    course = httpx.get(f"{project.gateway_url}/api/courses/{state['ids']['course:0']}/", timeout=10)
    return course.is_success


class Seed:
    def __init__(self, project: Project, http: httpx.Client) -> None:
        self.project = project
        self.http = http

    def users(self, report: Callable[[str], None]) -> dict[str, str]:
        """Makes every demo user; returns an access token of each by name."""
        tokens = {"admin": self._admin()}
        path = "/api/accounts/users/?page_size=100&search=lectern.example"
        found = {row["email"]: row["role"] for row in _rows(self.call("GET", path, tokens["admin"]))}
        for name, (_, _, role) in USERS.items():
            if name == "admin":
                continue
            if found.get(email_of(name)) == role and name in ("moderator", "teacher2"):
                continue  # nothing below speaks as these
            token = self.login(name) if email_of(name) in found else None
            if token is None:
                token = self._register(name)
                report(f"user {name}")
            if role in ("manager", "moderator"):
                token = self._promoted(name, role, token, tokens["admin"])
            tokens[name] = token
        return tokens

    def course(self, tokens: dict[str, str], report: Callable[[str], None]) -> None:
        """The demo course: category, modules, lessons of five kinds, quiz, assignment, two enrolments."""
        teacher = tokens["teacher"]
        categories = _rows(self.call("GET", "/api/categories/"))
        category = _named(categories, "name", CATEGORY["name"]) or self.call(
            "POST", "/api/categories/", tokens["manager"], json=CATEGORY
        )
        own = _rows(self.call("GET", "/api/courses/teacher/", teacher))
        course = _named(own, "title", COURSE["title"])
        if course is None:
            body = {**COURSE, "category": category["uuid"], "tags": TAGS}
            course = self.call("POST", "/api/courses/", teacher, json=body)
            report("course")
        path = f"/api/courses/{course['uuid']}/"
        if course["status"] != "published":
            self._modules(path, teacher)
            self.call("POST", f"{path}publish/", teacher)
            report("course published")
        for name in ("student", "student2"):
            self.call("POST", f"{path}enroll/", tokens[name], patience=15)

    def _modules(self, path: str, teacher: str) -> None:
        course = self.call("GET", path, teacher)
        modules = course.get("modules", [])
        for order, (title, lessons) in enumerate(MODULES, 1):
            body = {"course": course["uuid"], "title": title, "order": order}
            module = _named(modules, "title", title)
            if module is None:
                module = self.call("POST", "/api/modules/", teacher, json=body)
            there = module.get("lessons", [])
            for position, lesson in enumerate(lessons, 1):
                wanted = {**lesson, "order": position}
                self._lesson(course["uuid"], path, module["uuid"], there, wanted, teacher)

    def _lesson(
        self, course: str, path: str, module: str, there: list[Json], wanted: Json, teacher: str
    ) -> None:
        quiz, assignment = wanted.pop("quiz", None), wanted.pop("assignment", None)
        lesson = _named(there, "title", wanted["title"])
        if lesson is None:
            lesson = self.call("POST", f"{path}lessons/", teacher, json={**wanted, "module": module})
            if wanted["content_type"] == "pdf":
                files = {"file": ("handout.pdf", handout(), "application/pdf")}
                self.call("POST", f"{path}lessons/{lesson['uuid']}/upload/", teacher, files=files)
        where = {"course": course, "lesson": lesson["uuid"]}
        if quiz and not _named(self._of(course, "quizzes", teacher), "title", quiz["title"]):
            head = {name: value for name, value in quiz.items() if name != "questions"}
            made = self.call("POST", "/api/quizzes/", teacher, json={**head, **where}, patience=15)
            for question in quiz["questions"]:
                self.call("POST", f"/api/quizzes/{made['uuid']}/questions/", teacher, json=question)
            self.call("POST", f"/api/quizzes/{made['uuid']}/publish/", teacher)
        if assignment and not _named(self._of(course, "assignments", teacher), "title", assignment["title"]):
            self.call("POST", "/api/assignments/", teacher, json={**assignment, **where}, patience=15)

    def _of(self, course: str, what: str, teacher: str) -> list[Json]:
        return _rows(self.call("GET", f"/api/{what}/?course={course}", teacher, patience=15))

    def _admin(self) -> str:
        token = self.login("admin")
        if token is None:
            first, last, _ = USERS["admin"]
            argv = [sys.executable, "-m", "services.identity.admin", "create", "--email", email_of("admin")]
            argv += ["--password", PASSWORD, "--first-name", first, "--last-name", last]
            done = subprocess.run(
                argv, cwd=CHECKOUT, env=environment(self.project), capture_output=True, text=True, check=False
            )
            token = self.login("admin")
            if token is None:
                raise SetupError(f"The demo admin could not be made: {done.stderr or done.stdout}")
        return token

    def login(self, name: str) -> str | None:
        """Access token, or None where the account does not exist or has another password."""
        body = {"email": email_of(name), "password": PASSWORD}
        response = self._send("POST", "/api/accounts/login/", json=body)
        if response.status_code in (401, 403):
            return None
        _check(response)
        return str(response.json()["access"])

    def _register(self, name: str) -> str:
        first, last, role = USERS[name]
        email = email_of(name)
        body = {
            "email": email,
            "password": PASSWORD,
            "confirm_password": PASSWORD,
            "first_name": first,
            "last_name": last,
            "role": "teacher" if role == "teacher" else "student",
        }
        seen = {mail["id"] for mail in self._mails(email)}
        self.call("POST", "/api/accounts/register/", json=body)
        body = {"email": email, "verification_code": self._code(email, seen)}
        verified = self.call("POST", "/api/accounts/verify-email/", json=body)
        return str(verified["tokens"]["access"])

    def _promoted(self, name: str, role: str, token: str, admin: str) -> str:
        me = self.call("GET", "/api/accounts/users/me/", token)
        if me["role"] == role:
            return token
        self.call("PATCH", f"/api/accounts/users/{me['uuid']}/", admin, json={"role": role})
        # A change of role ends the old tokens.
        return self.login(name) or token

    def _mails(self, email: str) -> list[Json]:
        mails: list[Json] = httpx.get(f"{self.project.mail_url}/api/messages", timeout=10).json()
        return [mail for mail in mails if email in mail["to"]]

    def _code(self, email: str, seen: set[str], timeout: float = 30) -> str:
        """The verification code of the newest mail to this address that was not there before."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for mail in self._mails(email):
                found = re.search(r"\b(\d{6,8})\b", mail["text"])
                if mail["id"] not in seen and found:
                    return found[1]
            time.sleep(0.1)
        raise SetupError(f"No verification mail came for {email}: look at {self.project.mail_url}.")

    def call(self, method: str, path: str, token: str = "", patience: float = 0, **options: Any) -> Any:
        """One request. `patience`: seconds in which a 404 may still turn, as a replica catches up."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        deadline = time.monotonic() + patience
        while True:
            response = self._send(method, path, headers=headers, **options)
            if response.status_code != 404 or time.monotonic() > deadline:
                _check(response)
                return response.json()
            time.sleep(0.2)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, as often as limits and services that are just starting ask for it, for a minute."""
        deadline = time.monotonic() + 60
        while True:
            response = self.http.request(method, path, **options)
            if response.status_code not in (429, 503) or time.monotonic() > deadline:
                return response
            time.sleep(float(response.headers.get("Retry-After", 0.2)))


def _check(response: httpx.Response) -> None:
    if response.is_error:
        request = response.request
        raise SetupError(
            f"{request.method} {request.url.path} answered {response.status_code}: {response.text[:500]}"
        )


def _rows(answer: Any) -> list[Json]:
    """A bare list, or the results of a page."""
    rows: list[Json] = answer["results"] if isinstance(answer, dict) else answer
    return rows


def _named(rows: list[Json], field: str, value: str) -> Json | None:
    return next((row for row in rows if row[field] == value), None)
