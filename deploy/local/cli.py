"""`lectern`: the suite on this machine."""

import json
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from deploy.k8s.doctor import doctor as cluster_doctor
from deploy.local import checks, control, recovery, report
from deploy.local import seed as demo
from deploy.local import upgrade as upgrading
from deploy.local.cli_analyst import analyst
from deploy.local.cli_backup import Identity, Repository, backup, pass_on, running
from deploy.local.cli_lake import lake
from deploy.local.postgres import delete_data
from deploy.local.project import OBSERVERS, Project, SetupError, environment

FAILED, USAGE, NOT_RUNNING, IN_THE_WAY = 1, 2, 3, 4
_EPILOG = (
    "Exit codes: 0 done; 1 failed, or not everything is ready; 2 wrong usage; 3 the suite does not run; "
    "4 something on this machine is in the way. audit, dlq, rebuild, admin, analyst and lake pass on their"
    " command's code."
)

app = typer.Typer(
    help="The Lectern suite on this machine: servers, services, mail, demo data.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
admin = typer.Typer(help="Accounts that no form can make.", no_args_is_help=True)
dlq = typer.Typer(help="Dead letters: events that a consumer could not apply.", no_args_is_help=True)
app.add_typer(admin, name="admin")
app.add_typer(analyst, name="analyst")
app.add_typer(lake, name="lake")
app.add_typer(backup, name="backup")
app.add_typer(dlq, name="dlq")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class Size(StrEnum):
    SMALL, MEDIUM, LARGE = "small", "medium", "large"


Service = Annotated[str, typer.Argument(help="A process as `lectern status` names it.")]


@app.command()
def up(
    as_json: AsJson = False,
    seeded: Annotated[bool, typer.Option("--seed/--no-seed", help="Make the demo users and course.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until everything is ready.")] = 240,
) -> None:
    """Start everything and wait until it is ready; harmless when it runs already."""
    project = _project()
    if seeded:
        demo.refuse_in_production(project)
    progress = report.Progress(quiet=as_json)
    with progress:
        status = control.up(project, progress.show, timeout)
        project = Project.saved(project.directory)
        if seeded:
            progress.begin("demo data")
            demo.seed(project, progress.detail)
            if demo.begin_history(project, Size.SMALL):
                progress.detail("courses and learners follow in the background")
            progress.end("demo data")
    if as_json:
        _print_json(status)
    else:
        report.print_welcome(demo.write_demo(project) if seeded else None, project)


@app.command()
def down() -> None:
    """Stop everything in order. Data stays."""
    project = _project()
    with report.working("stopping"):
        demo.end_history(project)
        stopped = control.down(project)
    print("Stopped. The data is kept; 'make up' starts it again." if stopped else "Nothing was running.")


@app.command()
def restart(service: Service) -> None:
    """Stop one process and start it again, with the code of now."""
    process = control.Process(_project(), service)
    process.restart()
    print(f"{service} is ready again (pid {process.pid}).")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show every process: state, pid, port, restarts, memory, and how far its consumers are."""
    now = control.status(_project(), memory=True)
    for row in now["processes"]:
        row["consumers"] = control.consumers(row)
    if as_json:
        _print_json(now)
    else:
        report.print_status(now)
    if any(row["state"] not in ("ready", "external") for row in now["processes"]):
        raise typer.Exit(FAILED)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="One process; all without it.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", help="Old lines of each.")] = None,
) -> None:
    """Show the logs of one process or of all; `lectern logs | grep REQUEST_ID` finds one story."""
    report.print_logs(_project().logs, service, lines, follow)


@app.command()
def observe(
    stop: Annotated[bool, typer.Option("--stop", help="Stop them; the suite goes on.")] = False,
) -> None:
    """Start Prometheus and Alertmanager beside the suite; they end with it."""
    project = running()
    for name in OBSERVERS:
        process = control.Process(project, name)
        if stop:
            process.stop()
        else:
            process.start()
    if stop:
        print("Prometheus and Alertmanager have stopped.")
    else:
        report.print_observers(project)


@app.command()
def doctor(
    as_json: AsJson = False,
    kubeconfig: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Look at this cluster instead.")
    ] = None,
    namespace: Annotated[str, typer.Option(help="Of the suite in the cluster.")] = "lectern",
) -> None:
    """Say what this machine or a cluster has and lacks, and what mends it."""
    if kubeconfig:
        findings = cluster_doctor(kubeconfig, namespace)
    else:
        project = _project()
        findings = checks.doctor(project, running=control.is_locked(project))
    if as_json:
        _print_json([vars(finding) for finding in findings])
    else:
        report.print_findings(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(IN_THE_WAY)


@app.command("seed")
def seed_command(
    size: Annotated[Size, typer.Option(help="4, 60 or 400 learners.")] = Size.SMALL,
) -> None:
    """Make the demo users, courses and weeks of learners where they are missing."""
    project = running()
    with report.Bar() as bar:
        demo.seed(project, bar.say)
        demo.history(project, size.value, bar.show)
    print(f"Demo users and courses are there; logins are in {project.directory / 'demo.json'}.")


@app.command()
def audit(as_json: AsJson = False) -> None:
    """Compare what was published with what every consumer applied; names the keys that differ."""
    _run("libs.common.bus.audit", *(["--json"] if as_json else []))


@app.command("audit-log")
def audit_log(
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    target: Annotated[str, typer.Option(help="Only what was done to this id.")] = "",
) -> None:
    """Print who did what to whom, and why, as JSON lines."""
    arguments = [f"--service={service}"] if service else []
    _run("libs.common.data.audit_log", *arguments, *([f"--target={target}"] if target else []))


@app.command()
def rebuild(what: Annotated[str, typer.Argument(help="analytics, or log")], as_json: AsJson = False) -> None:
    """Rebuild the read models from the event log and compare their digest with the live ones; or, while the
    suite is stopped, Kafka's log where Kafka has lost it."""
    if what == "log":
        with report.working("writing the log"):
            said = recovery.rebuild_log(_project())
        print("\n".join(said))
        return
    if what != "analytics":
        raise typer.BadParameter("analytics or log can be rebuilt")
    _run("services.analytics.rebuild", *(["--json"] if as_json else []))


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop everything and delete all data, logs and demo logins."""
    project = _project()
    if not yes:
        typer.confirm(f"Delete all data under {project.directory}?", abort=True)
    demo.end_history(project)
    control.down(project)
    delete_data(project.directory)
    shutil.rmtree(project.directory, ignore_errors=True)
    print("Everything is deleted; 'make up' begins anew.")


@app.command()
def upgrade(
    backups: Repository = "",
    without_backup: Annotated[
        bool, typer.Option("--without-backup", help="Go on without a way back.")
    ] = False,
    back: Annotated[bool, typer.Option("--back", help="To an earlier release; the schema stays.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only look.")] = False,
) -> None:
    """Bring the running suite to the release of this checkout while it serves."""
    project = running()
    findings = upgrading.preflight(project, backups, without_backup=without_backup, back=back)
    report.print_findings(findings)
    for note in upgrading.release_notes():
        print(f"  note: {note}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(IN_THE_WAY)
    if not check:
        upgrading.upgrade(project, lambda what: print(f"  {what}", flush=True), back=back)
        print("Every process runs this release; 'lectern audit' says whether all is well.")


@app.command()
def restore(
    identity: Identity,
    to: Repository = "",
    name: Annotated[str, typer.Option("--backup", help="The newest without it.")] = "",
    at: Annotated[str, typer.Option(help="Any moment since a backup, as 2026-01-31T12:00:00Z.")] = "",
    files: Annotated[bool, typer.Option("--files", help="Files alone; the suite may run.")] = False,
    only: Annotated[str, typer.Option(help="The schema of this service alone; the rest stays.")] = "",
    aside: Annotated[bool, typer.Option("--aside", help="Move the data that is there aside first.")] = False,
) -> None:
    """Make this machine's suite what it was; it must not run. Start it afterwards."""
    with report.working("restoring"):
        if files:
            said = recovery.restore_storage(_project(), to, identity)
        else:
            said = recovery.restore(
                _project(), to, identity, name or None, at or None, only=only, aside=aside
            )
    print("\n".join(said))


@admin.command("create")
def admin_create(
    email: Annotated[str, typer.Option(prompt=True)],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
    first_name: Annotated[str, typer.Option()] = "",
    last_name: Annotated[str, typer.Option()] = "",
) -> None:
    """Make an administrator: the first one, who can promote others."""
    names = [f"--first-name={first_name}"] if first_name else []
    names += [f"--last-name={last_name}"] if last_name else []
    _run("services.identity.admin", "create", f"--email={email}", f"--password={password}", *names)


@admin.command("people")
def admin_people(
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
) -> None:
    """Make many verified students and teachers, from JSON lines on standard input."""
    _run("services.identity.admin", "people", f"--password={password}")


@dlq.command("list")
def dlq_list() -> None:
    """List dead letters, newest last."""
    _run("libs.common.bus.dlq", "list")


@dlq.command("show")
def dlq_show(letter: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show one: the event and the error."""
    _run("libs.common.bus.dlq", "show", letter)


@dlq.command("redrive")
def dlq_redrive(
    key: Annotated[str, typer.Option(help="Only this key.")] = "",
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen.")] = False,
) -> None:
    """Apply parked events again, in order."""
    arguments = [f"--key={key}"] if key else []
    arguments += [f"--service={service}"] if service else []
    arguments += ["--dry-run"] if dry_run else []
    _run("libs.common.bus.dlq", "redrive", *arguments)


def _project() -> Project:
    return Project.here()


def _run(module: str, *arguments: str) -> NoReturn:
    """A command of the suite in its environment; its output and its exit code are ours."""
    pass_on(module, *arguments, env=environment(running()))


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def main() -> None:
    try:
        app()
    except control.NotRunning:
        print("The suite does not run: start it with 'make up'.", file=sys.stderr)
        sys.exit(NOT_RUNNING)
    except SetupError as error:
        print(str(error), file=sys.stderr)
        sys.exit(IN_THE_WAY)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
