"""To the next release and back, under load, with data and without a 5xx: `make upgrade-test`.

The next release is this one with a migration more: a column that only it knows. Both stand in a clone, whose
code is changed under the running suite as `git checkout` does it.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import psycopg

from deploy.local import seed
from deploy.local.project import CHECKOUT, DATABASE, Project
from deploy.local.testing import temporary_directory
from libs.common.data.bootstrap import with_database
from tests.resilience.suite import EXTRA, Suite, step

MIGRATION = '''"""A column of the next release."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "next"
down_revision: str | None = "{head}"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("tickets", sa.Column("next_release", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("tickets", "next_release")
'''


async def run(*_: str) -> str:
    with temporary_directory() as directory:
        clone = directory / "clone"
        git(CHECKOUT, "clone", "--quiet", "--shared", str(CHECKOUT), str(clone))
        make_next(clone)
        git(clone, "checkout", "--quiet", "this")
        ours = Clone(Project.for_tests(directory / "suite", extra=EXTRA), directory, clone)
        try:
            with step("the release before is up, with data"):
                await asyncio.to_thread(lectern, clone, ours.operator(), "up", "--no-seed")
                ours.project = ours.world.project = ours.world.stage.project = Project.saved(
                    ours.project.directory
                )
                await asyncio.to_thread(seed.seed, ours.project)
                await ours.world.open()
                await ours.write()
            async with ours.world.writing(2):
                with step("to the next release, while people write"):
                    await ours.to("next")
                    assert ours.has_column()
                with step("and back, while people write"):
                    await ours.to("this", "--back")
            with step("nothing is lost"):
                await ours.all_is_well()
        finally:
            await ours.world.close()
            await asyncio.to_thread(lectern, clone, ours.operator(), "down")
    load = ours.world.load
    refused = {status: count for status, count in load.statuses.items() if status >= 300 or status == 0}
    assert not refused, refused
    return f"0 of {sum(load.statuses.values())} writes refused, slowest {load.longest:.1f} s"


class Clone(Suite):
    """A suite whose code is that of a clone."""

    def __init__(self, project: Project, directory: Path, clone: Path) -> None:
        super().__init__(project, directory)
        self.clone = clone

    async def to(self, release: str, *options: str) -> None:
        git(self.clone, "checkout", "--quiet", release)
        said = await asyncio.to_thread(
            lectern, self.clone, self.operator(), "upgrade", "--without-backup", *options
        )
        assert "Every process runs this release" in said, said

    def has_column(self) -> bool:
        query = "SELECT 1 FROM information_schema.columns WHERE column_name = 'next_release'"
        with psycopg.connect(with_database(self.project.postgres_url, DATABASE)) as connection:
            return connection.execute(query).fetchone() is not None


def make_next(clone: Path) -> None:
    """Two branches in the clone: `this`, and `next` with a migration more."""
    git(clone, "checkout", "--quiet", "-b", "this")
    git(clone, "checkout", "--quiet", "-b", "next")
    folder = clone / "services" / "support" / "migrations"
    head = max(path.name for path in folder.glob("[0-9]*.py"))[:4]
    (folder / "9999_next.py").write_text(MIGRATION.format(head=head))
    git(clone, "add", "--all")
    git(
        clone,
        "-c",
        "user.name=next",
        "-c",
        "user.email=next@lectern.example",
        "commit",
        "--quiet",
        "-m",
        "Next.",
    )


def git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(directory), *arguments], check=True)


def lectern(clone: Path, environment: dict[str, str], *arguments: str) -> str:
    """The command of the clone's code, with this environment's libraries."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", *arguments],
        cwd=clone,
        env={**environment, "PYTHONPATH": str(clone), "IDENTITY_MAIL_INTERVAL": "1",
             "GATEWAY_TRUSTED_PROXIES": "127.0.0.1/32"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"lectern {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout
