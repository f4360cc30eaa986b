"""`python -m deploy.backup`: make, check, read and delete backups. On one machine: `lectern backup`.

What is backed up is found by the suite's own settings (LECTERN_STORAGE_URL, LECTERN_KAFKA…) and by
LECTERN_DATABASE_ADMIN_URL, a superuser's; where to by LECTERN_BACKUP_URL, and for whom by
LECTERN_BACKUP_RECIPIENTS.
"""

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.backup.create import Sources, create, summary
from deploy.backup.database import Server
from deploy.backup.files import restore_files
from deploy.backup.manifest import all_manifests, choose
from deploy.backup.prune import prune
from deploy.backup.repository import BackupError, Repository, new_identity, read_identities
from deploy.backup.restore import plan, read_secrets, restore_database, verify
from deploy.backup.schedule import Schedule, keep_up, newest
from deploy.backup.watch import EVERY, unwatch, watch
from libs.common.runtime.settings import SuiteSettings


def repository_of(arguments: argparse.Namespace) -> Repository:
    """The repository that the options or the environment name. Raises BackupError."""
    url = arguments.repository or os.environ.get("LECTERN_BACKUP_URL")
    if not url:
        raise BackupError(
            "name a repository: --repository or LECTERN_BACKUP_URL, a directory or s3://BUCKET/PREFIX"
        )
    recipients = arguments.recipient or os.environ.get("LECTERN_BACKUP_RECIPIENTS", "").split(",")
    identities = read_identities(arguments.identity) if arguments.identity else []
    return Repository(url, [each for each in recipients if each], identities)


def sources_of(arguments: argparse.Namespace) -> Sources:
    """Raises BackupError."""
    url = os.environ.get("LECTERN_DATABASE_ADMIN_URL")
    if not url:
        raise BackupError("set LECTERN_DATABASE_ADMIN_URL to a superuser's URL of the suite's database")
    named = [Path(name) for name in os.environ.get("LECTERN_BACKUP_SECRETS", "").split(",") if name]
    return Sources(Server(url), SuiteSettings(), tuple(arguments.secret or named))


def moment(value: str) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError("needs a zone, as in 2026-01-31T12:00:00Z")
    return at


def run(arguments: argparse.Namespace) -> int:
    """Raises BackupError."""
    if arguments.command == "key":
        return _make_key(arguments.file)
    repository = repository_of(arguments)
    match arguments.command:
        case "create":
            before = all_manifests(repository)
            made = create(sources_of(arguments), repository, incremental=arguments.incremental)
            print(summary(made, before[-1].files if before else {}))
        case "list":
            for manifest in all_manifests(repository):
                print(summary(manifest, {}))
        case "verify":
            chosen = choose(all_manifests(repository), arguments.backup, None)
            print(f"{chosen.id}: {verify(repository, chosen)} objects are what was stored")
        case "restore":
            return _restore(repository, arguments)
        case "watch":
            watch(sources_of(arguments), repository, arguments.spool, every=arguments.every)
        case "unwatch":
            unwatch(sources_of(arguments), arguments.spool)
        case "schedule":
            hours = timedelta(hours=arguments.hours)
            kept = Schedule(timedelta(days=arguments.full_days), hours, timedelta(days=arguments.days))
            keep_up(sources_of(arguments), repository, kept)
        case "age":
            made_at = newest(repository)
            age = datetime.now(UTC) - made_at if made_at else None
            print(f"the newest backup is {age} old" if age else "there is no finished backup")
            return int(age is None or age > timedelta(hours=arguments.hours))
        case "prune":
            gone = prune(repository, timedelta(days=arguments.days))
            print(f"{len(gone)} objects deleted, {len(all_manifests(repository))} backups kept")
    return 0


def _make_key(path: Path) -> int:
    identity, recipient = new_identity()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BackupError(f"{path} is there already, and may be what opens your backups") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(f"# public key: {recipient}\n{identity}\n")
    print(f"LECTERN_BACKUP_RECIPIENTS={recipient}")
    print(f"Keep {path} where a loss of this machine does not reach it: without it no backup can be read.")
    return 0


def _restore(repository: Repository, arguments: argparse.Namespace) -> int:
    backup = choose(all_manifests(repository), arguments.backup, arguments.at)
    chosen = plan(repository, backup, arguments.at)
    restore_database(repository, chosen, arguments.data)
    files = restore_files(repository, chosen.files, SuiteSettings().storage_url)
    if arguments.secrets:
        arguments.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, value in read_secrets(repository, backup).items():
            path = arguments.secrets / Path(name).name
            path.touch(mode=0o600)
            path.write_text(value)
    print(
        f"{backup.id} is in {arguments.data}, which PostgreSQL brings to {chosen.moment.isoformat()} when it"
        f" starts; {files} files were brought back. Then begin an epoch, before anything else starts."
    )
    return 0


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="python -m deploy.backup", description="Backups of the whole suite.")
    main.add_argument(
        "--repository", metavar="URL", help="LECTERN_BACKUP_URL: a directory or s3://BUCKET/PREFIX"
    )
    main.add_argument("--recipient", action="append", metavar="age1…", help="LECTERN_BACKUP_RECIPIENTS")
    main.add_argument("--identity", type=Path, metavar="FILE", help="opens backups; made by 'key'")
    commands = main.add_subparsers(dest="command", required=True)
    key = commands.add_parser("key", help="make the pair of keys that backups are encrypted with")
    key.add_argument("file", type=Path)
    make = commands.add_parser("create", help="make a backup")
    make.add_argument("--incremental", action="store_true", help="only what changed since the newest")
    make.add_argument(
        "--secret", type=Path, action="append", metavar="FILE", help="a file of keys to take along"
    )
    often = commands.add_parser(
        "schedule", help="make backups when they are due, and prune; runs until ended"
    )
    often.add_argument("--full-days", type=float, default=7, help="between two full ones")
    often.add_argument("--hours", type=float, default=24, help="between two of any kind")
    often.add_argument("--days", type=int, default=30, help="a backup is kept")
    age = commands.add_parser("age", help="fail where the newest backup is too old")
    age.add_argument("--hours", type=float, default=26)
    commands.add_parser("list", help="the backups that are there")
    check = commands.add_parser("verify", help="read a backup whole and compare it with what was stored")
    check.add_argument("backup", nargs="?", help="the newest without it")
    back = commands.add_parser("restore", help="make an empty place what it was")
    back.add_argument("--data", type=Path, required=True, help="PostgreSQL's data directory, empty")
    back.add_argument("--secrets", type=Path, metavar="DIRECTORY", help="where keys and passwords go")
    back.add_argument("--backup", help="the newest without it")
    back.add_argument("--at", type=moment, metavar="TIME", help="any moment since the backup before it")
    follow = commands.add_parser("watch", help="take the log as it comes, so that any moment can be restored")
    follow.add_argument("--spool", type=Path, required=True, help="directory for what is not stored yet")
    follow.add_argument("--every", type=float, default=EVERY, help="seconds")
    stop = commands.add_parser("unwatch", help="let the server forget the slot of 'watch'")
    stop.add_argument("--spool", type=Path, required=True)
    old = commands.add_parser("prune", help="delete what is too old")
    old.add_argument("--days", type=int, default=30)
    return main


def main() -> int:
    arguments = parser().parse_args()
    arguments.secret = getattr(arguments, "secret", None)
    try:
        return run(arguments)
    except BackupError as error:
        print(f"backup: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
