"""`lectern backup`: backups of this machine's suite, and what several commands of `lectern` use."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from deploy.local import control, recovery
from deploy.local.project import CHECKOUT, Project

backup = typer.Typer(help="Backups of the whole suite.", no_args_is_help=True)
Repository = Annotated[
    str, typer.Option("--repository", envvar="LECTERN_BACKUP_URL", help="A directory or s3://BUCKET/PREFIX.")
]
Identity = Annotated[Path, typer.Option(help="The file that 'backup key' made.")]
Recipient = Annotated[str, typer.Option(envvar="LECTERN_BACKUP_RECIPIENTS", help="For whom: age1…")]


@backup.command("key")
def backup_key(file: Annotated[Path, typer.Argument(help="Where the key goes that opens backups.")]) -> None:
    """Make the pair of keys that backups are encrypted with."""
    pass_on("deploy.backup", "key", str(file), env=None)


@backup.command("create")
def backup_create(
    to: Repository = "",
    recipient: Recipient = "",
    incremental: Annotated[bool, typer.Option("--incremental", help="Only what changed since.")] = False,
) -> None:
    """Make a backup of database, files, keys and offsets, all of one moment."""
    project = running()
    secrets = [f"--secret={project.directory / name}" for name in recovery.SECRETS]
    options = ["--incremental"] if incremental else []
    pass_on(
        "deploy.backup",
        *_repository(to, recipient=recipient),
        "create",
        *options,
        *secrets,
        env=recovery.operator_environment(project),
    )


@backup.command("list")
def backup_list(to: Repository = "") -> None:
    """List the backups that are there."""
    pass_on("deploy.backup", *_repository(to), "list", env=None)


@backup.command("verify")
def backup_verify(
    identity: Identity, to: Repository = "", name: Annotated[str, typer.Option("--backup")] = ""
) -> None:
    """Read a backup whole, the newest without a name, and compare it with what was stored."""
    pass_on(
        "deploy.backup", *_repository(to, identity=identity), "verify", *([name] if name else []), env=None
    )


@backup.command("prune")
def backup_prune(
    to: Repository = "", days: Annotated[int, typer.Option(help="How long to keep.")] = 30
) -> None:
    """Delete backups that are too old; the newest full one and what builds upon it always stay."""
    pass_on("deploy.backup", *_repository(to), "prune", f"--days={days}", env=None)


@backup.command("watch")
def backup_watch(
    to: Repository = "",
    recipient: Recipient = "",
    every: Annotated[float, typer.Option(help="Seconds that may be lost with this machine.")] = 30,
) -> None:
    """Take the log and new files as they come, until interrupted, so that any moment can be restored."""
    project = running()
    spool = f"--spool={project.directory / 'backup-spool'}"
    pass_on(
        "deploy.backup",
        *_repository(to, recipient=recipient),
        "watch",
        spool,
        f"--every={every}",
        env=recovery.operator_environment(project),
    )


def _repository(url: str, *, recipient: str = "", identity: Path | None = None) -> list[str]:
    """The options of deploy.backup that come before its command."""
    options = [f"--repository={url}"] if url else []
    options += [f"--recipient={each}" for each in recipient.split(",") if each]
    return options + ([f"--identity={identity}"] if identity else [])


def pass_on(module: str, *arguments: str, env: dict[str, str] | None) -> NoReturn:
    """Run a command; its output and its exit code are ours."""
    argv = [sys.executable, "-m", module, *arguments]
    raise typer.Exit(subprocess.run(argv, cwd=CHECKOUT, env=env, check=False).returncode)


def running() -> Project:
    """The project with the ports that the running suite has."""
    project = Project.here()
    control.status(project)
    return Project.saved(project.directory)
