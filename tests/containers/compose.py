"""`make compose-test`: docker-compose.yml as an operator starts it, with production's settings.

A learner's story through the gateway; every container killed in turn, Kafka and PostgreSQL too; the balances
of events; the story again; down, and up with the data still there; a backup, everything lost, and restored by
the commands of docs/operators.md. All of it goes away at the end.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.project import CHECKOUT
from libs.common.testing.harness import eventually
from tests.containers import images
from tests.containers.bases import have
from tests.containers.engine import Engine, engine
from tests.containers.exports import export
from tests.containers.unhealthy import print_unhealthy
from tests.e2e.test_story import Story
from tests.support import Stage, Visitor

PROJECT = "lectern-test"
ADMIN_PASSWORD = "Nobody-guesses-this-7"
PORT = 28000
BACKING = (
    "apache/kafka:4.4.0",
    "postgres:18",
    "valkey/valkey:9.1",
    "chrislusf/seaweedfs:4.00",
    "axllent/mailpit:v1.33",
)
SETTINGS = {
    "LECTERN_PUBLIC_URL": "https://learn.acme.org",
    "LECTERN_CORS_ORIGINS": "https://learn.acme.org",
    "LECTERN_SMTP_URL": "smtp://mailpit:1025",
    "LECTERN_MAIL_FROM": "'Lectern <no-reply@acme.org>'",
    "LECTERN_PORT": str(PORT),
    "LECTERN_TAG": "compose-test",
    # One address asks for everybody.
    "GATEWAY_LIMIT_ANONYMOUS": "1000000",
    "GATEWAY_LIMIT_SIGNED_IN": "1000000",
    "GATEWAY_LIMIT_CREDENTIALS": "6000",
    "GATEWAY_LIMIT_REFRESH": "1000000",
}
JOBS = ("credentials", "database", "migrate", "topics", "bucket", "backup-role", "demo", "reader")
UP = 600.0
"""Seconds in which everything must be healthy."""


@dataclass
class Suite:
    """The composed suite; as much of a `Project` as a `Visitor` asks for."""

    running: Engine
    directory: Path
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    profiles: tuple[str, ...] = ("demo", "backup")
    absent: tuple[str, ...] = ()
    """Containers of the profiles whose images are not to be had here."""
    times: dict[str, float] = field(default_factory=dict)

    gateway_url = f"http://127.0.0.1:{PORT}"

    def write_settings(self) -> None:
        values = self.settings | {
            "LECTERN_SECRETS": str(self.directory / "secrets"),
            "LECTERN_ENV_FILE": str(self.directory / ".env"),
            "LECTERN_BACKUPS": str(self.directory / "backups"),
            "LECTERN_BACKUP_RECIPIENTS": self.make_key(),
            "LECTERN_BACKUP_IDENTITY": str(self.directory / "lectern.key"),
        }
        (self.directory / "backups").mkdir()
        shutil.chown(self.directory / "backups", 10001, 10001)
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        (self.directory / ".env").write_text(text)

    def make_key(self) -> str:
        """The key pair of backups; returns whom they are encrypted for."""
        image = f"lectern/worker:{SETTINGS['LECTERN_TAG']}"
        words = ("run", "--rm", "--user", "0", "--volume", f"{self.directory}:/here", image)
        said = self.running.docker(*words, "deploy.backup", "key", "/here/lectern.key")
        return next(line for line in said.splitlines() if "=" in line).partition("=")[2]

    def compose(self, *words: object, timeout: float = UP + 60) -> str:
        file, settings = CHECKOUT / "docker-compose.yml", self.directory / ".env"
        head = ("compose", "--file", file, "--env-file", settings, "--project-name", PROJECT)
        profiles = [word for name in self.profiles for word in ("--profile", name)]
        return self.running.docker(*head, *profiles, *words, timeout=timeout)

    def services(self) -> list[str]:
        """All that run for as long as the suite does."""
        names = self.compose("config", "--services").split()
        return sorted(name for name in names if name not in (*JOBS, *self.absent))

    def up(self) -> None:
        self.compose("up", "--detach", "--wait", "--wait-timeout", int(UP), "--no-build", *self.services())

    def inspect(self, service: str, form: str) -> str:
        return images.inspect(self.running, f"{PROJECT}-{service}-1", form)

    def operator(self, module: str, *arguments: str) -> str:
        """A command of an operator, in a container of its own."""
        return self.compose("run", "--rm", "--no-deps", "operator", module, *arguments, timeout=180)

    @property
    def mail_url(self) -> str:
        """Mailpit is not published: this machine reaches its container's address."""
        form = f'{{{{(index .NetworkSettings.Networks "{PROJECT}_internal").IPAddress}}}}'
        return f"http://{self.inspect('mailpit', form)}:8025"

    def measure(self, what: str, act: Callable[[], object]) -> None:
        begin = time.monotonic()
        act()
        self.times[what] = time.monotonic() - begin
        print(f"compose: {what}: {self.times[what]:.1f} s", flush=True)


class Post(Stage):
    """The stage whose mail Mailpit has."""

    project: Any

    async def mails(self, to: str) -> list[dict[str, Any]]:
        found = []
        async with httpx.AsyncClient(base_url=self.project.mail_url, timeout=20) as client:
            listed = (await client.get("/api/v1/search", params={"query": f'to:"{to}"'})).json()
            for summary in listed["messages"]:
                mail = (await client.get(f"/api/v1/message/{summary['ID']}")).json()
                found.append({"subject": mail["Subject"], "text": mail["Text"], "to": to})
        return found


class ComposedStory(Story):
    """The story with the commands of an operator in containers, and the containers' logs."""

    async def _balanced(self) -> bool:
        try:
            await asyncio.to_thread(self.stage.project.operator, "libs.common.bus.audit")
        except RuntimeError as error:
            raise AssertionError(str(error)) from error
        return True

    async def audit(self) -> None:
        await eventually(self._balanced, 60, interval=0.5)
        rebuilt = await asyncio.to_thread(self.stage.project.operator, "services.analytics.rebuild", "--json")
        assert json.loads(rebuilt[rebuilt.index("{") :])["differing"] == [], rebuilt

    async def one_id(self) -> None:
        visitor = await self.stage.join("grace")
        request_id = f"story-{self.stage.mark}"
        await visitor.raw(
            "POST", f"/api/courses/{self.course}/enroll/", json={}, headers={"X-Request-ID": request_id}
        )
        await eventually(lambda: self._mails(visitor, "enrolled"), 30)

        def written() -> bool:
            names = ("gateway", "learning-api", "notify-worker", "analytics-worker", "tasks")
            logs = self.stage.project.compose("logs", "--no-color", *names)
            lines = [line for line in logs.splitlines() if request_id in line]
            found = {line.partition("|")[0].strip().rpartition("-")[0] for line in lines}
            return found >= set(names)

        await eventually(written, 30, interval=1)


async def make_admin(suite: Suite) -> str:
    """The first administrator, as docs/operators.md says."""
    email = "admin@lectern.example"
    words = ("create", "--email", email, "--password", ADMIN_PASSWORD)
    await asyncio.to_thread(suite.operator, "services.identity.admin", *words)
    return email


async def tell_story(suite: Suite, admin: str) -> ComposedStory:
    stage: Any = Post(suite, uuid4().hex[:8])
    try:
        visitor = Visitor(suite, admin)
        stage.visitors.append(visitor)
        await visitor.login(ADMIN_PASSWORD)
        story = ComposedStory()
        await story.tell(stage, visitor)
        print(f"compose: {await export(story.teacher, story.ada)}", flush=True)
        return story
    finally:
        await stage.close()


def kill(suite: Suite, service: str) -> None:
    """SIGKILL to the first process of a container, from outside: the engine starts it again."""
    before = int(suite.inspect(service, "{{.RestartCount}}"))
    os.kill(int(suite.inspect(service, "{{.State.Pid}}")), signal.SIGKILL)
    deadline = time.monotonic() + 180
    while True:
        count, state = suite.inspect(service, "{{.RestartCount}} {{.State.Health.Status}}").split()
        if int(count) > before and state == "healthy":
            return
        assert time.monotonic() < deadline, f"{service} did not come back: {state} after a kill"
        time.sleep(0.2)


def wait_all_healthy(suite: Suite) -> None:
    deadline = time.monotonic() + UP
    while True:
        health = {name: suite.inspect(name, "{{.State.Health.Status}}") for name in suite.services()}
        sick = [name for name, state in health.items() if state != "healthy"]
        if not sick:
            return
        assert time.monotonic() < deadline, f"not healthy again: {', '.join(sick)}"
        time.sleep(1)


async def still_there(suite: Suite, story: ComposedStory, admin: str, *, mail: bool = True) -> None:
    """Logins, the course, the certificate and its file; with `mail` the catcher's mails, too."""
    visitor = Visitor(suite, admin)
    ada = Visitor(suite, story.ada.email)
    try:
        await visitor.login(ADMIN_PASSWORD)
        await ada.login()
        course = await visitor.get(f"/api/courses/{story.course}/")
        assert course["uuid"] == story.course
        verified = await ada.get(
            f"/api/certificates/{story.number}/verify/", headers={"Accept": "application/json"}
        )
        assert verified["valid"] is True
        page = await ada.get("/api/certificates/")
        rows = page["results"] if isinstance(page, dict) else page
        pdf = await ada.raw("GET", f"/api/certificates/{rows[0]['uuid']}/download/")
        assert pdf.headers["content-type"] == "application/pdf"
        if mail:
            assert len(await Post(suite, "none").mails(ada.email)) >= 3
    finally:
        await visitor.http.aclose()
        await ada.http.aclose()


def build(running: Engine) -> None:
    begin = time.monotonic()
    for service in images.IMAGES:
        images.build(running, service, SETTINGS["LECTERN_TAG"])
    images.tidy(running)
    print(f"compose: images: {time.monotonic() - begin:.1f} s", flush=True)


def back_up(suite: Suite) -> None:
    backup = ("run", "--rm", "--no-deps", "backup", "deploy.backup")
    print(suite.compose(*backup, "create", "--incremental").strip(), flush=True)
    print(suite.compose(*backup, "list").strip(), flush=True)


def lose_everything(suite: Suite) -> None:
    suite.compose("down", "--volumes")
    shutil.rmtree(suite.directory / "secrets")


def restore(suite: Suite) -> None:
    """As docs/operators.md has it."""
    for step in ("restore-keys", "restore", "restore-epoch"):
        print(suite.compose("run", "--rm", step, timeout=UP).strip(), flush=True)
    suite.up()


def act(suite: Suite) -> None:
    suite.measure("up", suite.up)
    admin = asyncio.run(make_admin(suite))
    stories: list[ComposedStory] = []
    suite.measure("story", lambda: stories.append(asyncio.run(tell_story(suite, admin))))
    for service in suite.services():
        suite.measure(f"kill {service}", lambda service=service: kill(suite, service))
    suite.measure("all healthy", lambda: wait_all_healthy(suite))
    suite.measure("balances", lambda: asyncio.run(balances(suite)))
    suite.measure("story again", lambda: stories.append(asyncio.run(tell_story(suite, admin))))
    suite.measure("down", lambda: suite.compose("down"))
    suite.measure("up again", suite.up)
    for story in stories:
        asyncio.run(still_there(suite, story, admin))
    suite.measure("balances again", lambda: asyncio.run(balances(suite)))
    suite.measure("backup", lambda: back_up(suite))
    suite.measure("everything lost", lambda: lose_everything(suite))
    suite.measure("restore", lambda: restore(suite))
    suite.measure("balances of what was restored", lambda: asyncio.run(balances(suite)))
    for story in stories:
        asyncio.run(still_there(suite, story, admin, mail=False))


async def balances(suite: Suite) -> None:
    async def hold() -> bool:
        try:
            await asyncio.to_thread(suite.operator, "libs.common.bus.audit")
        except RuntimeError as error:
            raise AssertionError(str(error)) from error
        return True

    await eventually(hold, 120, interval=1)


def compose_test(*, built: bool = False) -> None:
    begin = time.monotonic()
    with engine() as running:
        have(running, images.BASE, *BACKING)
        if not built:
            build(running)
        suite = Suite(running, Path(mkdtemp(prefix="lectern-compose-")))
        suite.write_settings()
        clear(suite)
        try:
            act(suite)
        except BaseException:
            save_logs(suite)
            raise
        finally:
            clear(suite)
            shutil.rmtree(suite.directory)
    killed = [seconds for what, seconds in suite.times.items() if what.startswith("kill ")]
    print(
        f"compose: up in {suite.times['up']:.0f} s, the story twice, {len(killed)} containers killed and back"
        f" (slowest {max(killed):.0f} s), all balances hold, data there after down and up, "
        f"everything lost and restored in {suite.times['restore']:.0f} s; {time.monotonic() - begin:.0f} s"
    )


def save_logs(suite: Suite) -> None:
    """What the containers said, for who looks for the reason; first of all those that are unwell."""
    with suppress(RuntimeError, subprocess.TimeoutExpired):
        print_unhealthy(suite.running, PROJECT)
    target = CHECKOUT / ".lectern" / "compose-test.log"
    target.parent.mkdir(exist_ok=True)
    with suppress(RuntimeError, subprocess.TimeoutExpired):
        target.write_text(suite.compose("logs", "--no-color", "--timestamps", timeout=60))
        print(f"compose: the containers' logs are in {target.relative_to(CHECKOUT)}", flush=True)


def clear(suite: Suite) -> None:
    with suppress(RuntimeError):
        suite.compose("down", "--volumes", "--remove-orphans", timeout=240)
