import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local import checks
from deploy.local.cli import IN_THE_WAY, NOT_RUNNING, app, main
from deploy.local.project import DEFAULT_PORTS, Project, SetupError, environment, free_ports

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project of its own, so that a suite that runs in this checkout is left alone."""
    monkeypatch.setenv("LECTERN_DIRECTORY", str(tmp_path / "suite"))
    for name, port in zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True):
        monkeypatch.setenv(f"LECTERN_PORT_{name.upper()}", str(port))
    return tmp_path / "suite"


def test_doctor_lists_every_finding_as_json():
    result = run(app, ["doctor", "--json"])
    findings = {row["name"]: row for row in json.loads(result.stdout)}
    assert {"python", "disk", "java", "maven", "postgres", "valkey", "ports"} <= set(findings)
    assert all(row["ok"] for row in findings.values()), findings
    assert result.exit_code == 0


def test_doctor_fails_with_the_sentence_that_mends_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "LEAST_DISK", 10**18)
    result = run(app, ["doctor"])
    assert result.exit_code == IN_THE_WAY
    assert "LECTERN_DIRECTORY=/larger/disk/lectern make up" in result.stdout


@pytest.mark.parametrize(
    "command", [["status"], ["audit"], ["dlq", "list"], ["restart", "learning"], ["seed"]]
)
def test_what_needs_a_running_suite_says_so_with_exit_code_3(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["lectern", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == NOT_RUNNING
    assert "make up" in capsys.readouterr().err


def test_too_little_disk_stops_up_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], elsewhere: Path
):
    monkeypatch.setattr(checks, "LEAST_DISK", 10**18)
    monkeypatch.setattr("sys.argv", ["lectern", "up"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == IN_THE_WAY
    assert "GB are needed" in capsys.readouterr().err
    assert not elsewhere.exists()


def test_down_without_a_suite_is_harmless():
    result = run(app, ["down"])
    assert (result.exit_code, result.stdout) == (0, "Nothing was running.\n")


def test_reset_deletes_the_directory(elsewhere: Path):
    elsewhere.mkdir()
    (elsewhere / "demo.json").write_text("{}")
    assert run(app, ["reset", "--yes"]).exit_code == 0
    assert not elsewhere.exists()


def test_logs_of_one_process(elsewhere: Path):
    (elsewhere / "logs").mkdir(parents=True)
    (elsewhere / "logs" / "mail.log").write_text("one\ntwo\nthree\n")
    assert run(app, ["logs", "mail", "-n", "2"]).stdout == "two\nthree\n"
    assert run(app, ["logs"]).stdout.split() == ["mail", "one", "mail", "two", "mail", "three"]


def test_a_port_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LECTERN_PORT_GATEWAY", "eighty")
    with pytest.raises(SetupError, match="LECTERN_PORT_GATEWAY=8000"):
        Project.here()


def test_the_environment_leads_every_process_to_this_project(elsewhere: Path):
    project = Project.here()
    values = environment(project)
    assert values["LECTERN_KAFKA"] == f"127.0.0.1:{project.ports['kafka']}"
    assert values["IDENTITY_PORT"] == str(project.ports["identity"])
    assert f":{project.ports['postgres']}/lectern" in values["FORUM_DATABASE_URL"]
    assert values["GATEWAY_FORUM_URL"].endswith(str(project.ports["forum"]))
    assert values["MALLOC_ARENA_MAX"] == "2"
    assert project.secret("postgres.password") not in " ".join(values.values())


def test_the_superuser_of_a_given_server_is_told_to_no_process(tmp_path: Path):
    given = {
        "LECTERN_POSTGRES_URL": "postgresql://root:secret@db:5/postgres",
        "LECTERN_VALKEY_URL": "redis://v:6/3",
    }
    values = environment(Project.for_tests(tmp_path, extra=given))
    assert re.fullmatch(
        r"postgresql://lectern_catalog:[\w-]{43}@db:5/lectern", values["CATALOG_DATABASE_URL"]
    )
    assert (values["LECTERN_VALKEY_URL"], values["LECTERN_BROKER_URL"]) == ("redis://v:6/0", "redis://v:6/1")
    assert "secret" not in " ".join(values.values())
