"""When a backup is due: a full one each week, an incremental one each day, and away with what is too old."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deploy.backup.create import Sources, create, summary
from deploy.backup.manifest import Manifest, all_manifests
from deploy.backup.prune import prune
from deploy.backup.repository import BackupError, Repository
from libs.common.runtime.clock import Clock, system_clock

LOOK = 60.0
"""Seconds between two looks at the clock."""


@dataclass(frozen=True)
class Schedule:
    """How often, and for how long a backup is kept."""

    full: timedelta = timedelta(days=7)
    every: timedelta = timedelta(days=1)
    keep: timedelta = timedelta(days=30)


def due(manifests: Sequence[Manifest], schedule: Schedule, now: datetime) -> str | None:
    """`full`, `incremental`, or None for not yet."""
    wholes = [each for each in manifests if each.parent is None]
    if not wholes or wholes[-1].started_at <= now - schedule.full:
        return "full"
    return "incremental" if manifests[-1].started_at <= now - schedule.every else None


def keep_up(
    sources: Sources,
    repository: Repository,
    schedule: Schedule,
    *,
    clock: Clock = system_clock,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Make backups when they are due, until it is interrupted; what fails is said and tried again."""
    while True:
        try:
            manifests = all_manifests(repository)
            state = sources.server.state()
            # A restore begins another history, upon which no older backup can be built.
            ours = [each for each in manifests if (each.system, each.epoch) == (state.system, state.epoch)]
            kind = due(ours, schedule, clock())
            if kind:
                made = create(sources, repository, incremental=kind == "incremental")
                print(summary(made, manifests[-1].files if manifests else {}), flush=True)
                gone = prune(repository, schedule.keep)
                print(f"{len(gone)} objects deleted", flush=True)
        except BackupError as error:
            print(f"backup: {error}", file=sys.stderr, flush=True)
        wait(LOOK)


def newest(repository: Repository) -> datetime | None:
    """When the newest finished backup began, by its name alone."""
    names = [name.split("/")[1] for name in repository.names("backups") if name.endswith("/manifest.json")]
    return datetime.strptime(max(names)[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if names else None
