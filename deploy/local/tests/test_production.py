"""`lectern` in production: nothing of the demo, and no mail for everybody to see."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local import checks, control, seed
from deploy.local.cli import IN_THE_WAY, main
from deploy.local.project import CHECKOUT, Project, SetupError, environment
from deploy.local.suite import process_command, process_names
from services.identity import admin

FIT = {
    "LECTERN_ENVIRONMENT": "production",
    "LECTERN_SECRET": "fH3vQ0zT9kWm2xLrB7cYpE5sJ8nUaD1g",
    "LECTERN_CORS_ORIGINS": "https://learn.acme.org",
    "LECTERN_PUBLIC_URL": "https://learn.acme.org",
    "LECTERN_SMTP_URL": "smtps://mail.acme.org",
    "LECTERN_MAIL_FROM": "Lectern <no-reply@acme.org>",
}


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    for name, value in FIT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LECTERN_DIRECTORY", str(tmp_path / "suite"))
    made = Project.for_tests(tmp_path / "suite")
    # The limits of tests are nothing for production.
    return Project(made.directory, made.ports, owner=os.getpid(), with_seed=False)


@pytest.mark.promise("production")
@pytest.mark.parametrize("command", [["up"], ["up", "--seed"]])
def test_up_refuses_demo_people_in_production_before_anything_starts(
    command: list[str], project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["lectern", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == IN_THE_WAY
    assert "lectern up --no-seed" in capsys.readouterr().err
    assert not project.directory.exists()


@pytest.mark.promise("production")
@pytest.mark.parametrize(
    "act",
    [
        lambda project: seed.seed(project),
        lambda project: seed.begin_history(project, "small"),
        lambda project: seed.history(project, "small", lambda *_: None),
        lambda project: seed.write_demo(project),
    ],
)
def test_no_way_leads_to_demo_people_in_production(project: Project, act: Any):
    with pytest.raises(SetupError, match="public password"):
        act(project)
    assert not (project.directory / "demo.json").exists()


@pytest.mark.promise("production")
def test_no_mail_catcher_runs_in_production(project: Project):
    assert "mail" not in process_names(project)
    with pytest.raises(SetupError, match="mail catcher"):
        process_command(project, "mail")
    values = environment(project, "notify")
    assert values["LECTERN_SMTP_URL"] == FIT["LECTERN_SMTP_URL"]
    assert values["LECTERN_PUBLIC_URL"] == FIT["LECTERN_PUBLIC_URL"]
    for module in ("deploy.local.mail", "deploy.local.seed_history"):
        done = subprocess.run(
            [sys.executable, "-m", module], cwd=CHECKOUT, env=environment(project), capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert "production" in done.stderr


@pytest.mark.parametrize("name", sorted(set(FIT) - {"LECTERN_ENVIRONMENT"}))
def test_up_names_the_setting_that_is_not_fit_before_anything_starts(
    project: Project, name: str, monkeypatch: pytest.MonkeyPatch
):
    checks._production(project)
    monkeypatch.delenv(name)
    with pytest.raises(SetupError, match=name) as refused:
        control.up(project)
    assert "\n" not in str(refused.value)


def test_the_demo_password_makes_no_administrator_in_production(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert admin.DEMO_PASSWORD == seed.PASSWORD
    for name, value in environment(project).items():
        monkeypatch.setenv(name, value)
    arguments = ["admin", "create", "--email=a@acme.org", f"--password={seed.PASSWORD}"]
    monkeypatch.setattr("sys.argv", arguments)
    assert admin.main() == 1
    assert "public" in capsys.readouterr().err
