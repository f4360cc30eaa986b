"""The supervisor with the real backing servers and the mail catcher; the services have tests of their own."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local.control import NotRunning, Process, down, is_locked, status, up
from deploy.local.project import Project, SetupError
from deploy.local.testing import until
from libs.common.security.tokens import SigningKey

MakeProject = Callable[..., Project]
# Kafka needs seconds and has a test of its own; without services nothing here asks for it.
GIVEN = {"LECTERN_KAFKA": "127.0.0.1:1"}


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a directory, and writes nothing."""

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def names(now: dict) -> dict[str, str]:
    return {row["name"]: row["state"] for row in now["processes"]}


def test_up_twice_a_killed_child_and_down(new_project: MakeProject):
    project = new_project(extra=GIVEN)
    now = up(project)
    assert names(now) == {"postgres": "ready", "valkey": "ready", "kafka": "external", "mail": "ready"}
    assert {"postgres", "valkey", "database"} <= {row["name"] for row in now["steps"]}
    assert up(project)["pid"] == now["pid"]

    mail = Process(project, "mail")
    first = mail.pid
    mail.kill()
    until(lambda: mail.pid not in (None, first))
    mail.wait_ready()
    row = mail.status()
    assert (row["restarts"], row["last_exit"]) == (1, -signal.SIGKILL)
    assert httpx.get(f"{project.mail_url}/api/messages").json() == []

    mail.stop()
    assert mail.status()["state"] == "stopped"
    mail.start({"EXTRA": "yes"})
    assert psutil.Process(mail.pid).environ()["EXTRA"] == "yes"

    mail.pause()
    # The kernel stops a process that runs on another core a moment after the signal.
    until(lambda: psutil.Process(mail.pid).status() == psutil.STATUS_STOPPED)
    mail.resume()

    pids = [row["pid"] for row in status(project)["processes"] if row["pid"]]
    assert down(project)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(NotRunning):
        status(project)
    assert not down(project)


def test_up_recovers_after_the_supervisor_was_killed(new_project: MakeProject):
    # Without an owner the children outlive their supervisor, as on a developer's machine.
    project = new_project(extra=GIVEN, owner=None)
    before = up(project)
    orphans = [row["pid"] for row in before["processes"] if row["pid"]]
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: not is_locked(project))
    assert all(psutil.pid_exists(pid) for pid in orphans)

    after = up(project)
    assert after["pid"] != before["pid"]
    assert not any(psutil.pid_exists(pid) for pid in orphans)
    assert set(names(after).values()) == {"ready", "external"}
    assert all(row["restarts"] == 0 for row in after["processes"])


def test_down_ends_what_a_dead_supervisor_left(new_project: MakeProject):
    project = new_project(extra=GIVEN, owner=None)
    now = up(project)
    os.kill(now["pid"], signal.SIGKILL)
    until(lambda: not is_locked(project))
    assert down(project)
    assert not any(psutil.pid_exists(row["pid"]) for row in now["processes"] if row["pid"])


def test_the_suite_ends_with_the_process_it_was_started_for(new_project: MakeProject):
    owner = psutil.Popen(["sleep", "100"])
    project = new_project(extra=GIVEN, owner=owner.pid)
    now = up(project)
    owner.kill()
    owner.wait()
    until(lambda: not is_locked(project))
    assert not any(psutil.pid_exists(row["pid"]) for row in now["processes"] if row["pid"])


def test_a_port_in_use_is_one_sentence_that_names_the_holder_and_the_way_out(new_project: MakeProject):
    project = new_project(extra=GIVEN)
    with socket.create_server(("127.0.0.1", project.ports["mail"])), pytest.raises(SetupError) as caught:
        up(project)
    message = str(caught.value)
    assert message.startswith(f"Port {project.ports['mail']} (mail) is in use by")
    assert f"kill {os.getpid()}" in message
    assert "LECTERN_PORT_MAIL=" in message
    assert "\n" not in message


def test_a_start_that_fails_says_why_and_leaves_nothing_behind(new_project: MakeProject):
    project = new_project(extra={**GIVEN, "LECTERN_POSTGRES_URL": "postgresql://a:b@127.0.0.1:1/x"})
    with pytest.raises(SetupError, match="database could not be set up"):
        up(project)
    assert not is_locked(project)


def test_a_checkout_with_a_long_path_still_has_a_control_socket(new_project: MakeProject):
    project = new_project(extra=GIVEN)
    deep = Project(project.directory / ("d" * 120), project.ports, owner=os.getpid())
    assert len(str(deep.control_socket)) < 108
    deep.control_socket.parent.rmdir()


def test_a_restart_of_the_gateway_refuses_nobody(new_project: MakeProject, tmp_path: Path):
    key = SigningKey.generate()
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key.public_jwk()]}))
    handler = partial(QuietHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as identity:
        threading.Thread(target=identity.serve_forever, daemon=True).start()
        keys = f"http://127.0.0.1:{identity.server_port}/jwks.json"
        project = new_project(with_gateway=True, extra={**GIVEN, "LECTERN_JWKS_URL": keys})
        up(project)
        gateway = Process(project, "gateway")
        first, over, answers = gateway.pid, threading.Event(), []

        def ask() -> None:
            while not over.is_set():
                try:
                    answers.append(httpx.get(f"{project.gateway_url}/livez", timeout=10).status_code)
                except httpx.HTTPError as error:
                    answers.append(repr(error))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            until(lambda: len(answers) > 20)
            gateway.restart()
            assert gateway.pid not in (None, first)
            assert not psutil.pid_exists(first)
            assert gateway.status()["restarts"] == 0
            before = len(answers)
            until(lambda: len(answers) > before + 20)
        finally:
            over.set()
            asking.join()
            identity.shutdown()
        assert set(answers) == {200}
        gateway.kill()  # who was started as a successor is looked after like the first
        until(lambda: gateway.status()["restarts"] == 1)
        assert down(project)


def test_an_unknown_process_is_refused_with_the_known_names(new_project: MakeProject):
    project = new_project(extra=GIVEN)
    up(project)
    with pytest.raises(SetupError, match=r"no process 'learnin'.*postgres, valkey, kafka, mail"):
        Process(project, "learnin").start()
