"""Each loss that docs/runbooks names, made good by what its runbook says: `make disaster`."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg

from deploy.local.children import end_orphans
from deploy.local.postgres import delete_data
from deploy.local.process import end
from deploy.local.project import CHECKOUT, DATABASE
from deploy.local.testing import BUCKET, s3_server
from libs.common.data.bootstrap import with_database
from libs.common.testing.harness import eventually
from tests.resilience.suite import Suite, step, suite


async def run(*only: str) -> str:
    async with suite() as ours:
        await ours.lectern("backup", "key", str(ours.directory / "key"))
        recipient = (ours.directory / "key").read_text().split("\n")[0].rpartition(" ")[2]
        backups = Backups(ours, recipient)
        disasters = (
            backups.are_made,
            backups.bring_back_files,
            backups.undo_a_future,
            backups.bring_back_a_schema,
            backups.write_a_lost_log,
            backups.do_without_valkey,
            backups.bring_back_everything,
        )
        for disaster in disasters:
            if only and disaster.__name__ not in (*only, "are_made"):
                continue
            with step((disaster.__doc__ or "").strip()):
                await disaster()
    return "all losses made good"


class Backups:
    """The suite and its repository."""

    def __init__(self, ours: Suite, recipient: str) -> None:
        self.ours = ours
        self.key = ours.directory / "key"
        self.values = {
            "LECTERN_BACKUP_URL": str(ours.directory / "repository"),
            "LECTERN_BACKUP_RECIPIENTS": recipient,
        }

    async def lectern(self, *arguments: str) -> str:
        return await self.ours.lectern(*arguments, **self.values)

    async def restore(self, *arguments: str) -> str:
        return await self.lectern("restore", f"--identity={self.key}", *arguments)

    async def back_again(self) -> None:
        """Up, well, and taking work as before."""
        await self.ours.up()
        await self.ours.people_log_in()
        await self.ours.write()
        await self.ours.all_is_well()

    async def are_made(self) -> None:
        """backups: full, incremental while people write, verified"""
        await self.lectern("backup", "create")
        async with self.ours.world.writing():
            said = await self.lectern("backup", "create", "--incremental")
        assert "upon" in said, said
        said = await self.lectern("backup", "verify", f"--identity={self.key}")
        assert "are what was stored" in said, said

    async def bring_back_files(self) -> None:
        """lost-storage: every file is back, byte for byte"""
        before = self.ours.files()
        assert before
        shutil.rmtree(self.ours.project.directory / "storage")
        await self.restore("--files")
        assert self.ours.files() == before

    async def undo_a_future(self) -> None:
        """restore: to an earlier moment, while Kafka goes on after it"""
        load = self.ours.world.load
        # A restore undoes what came after the backup, also for the one who counts.
        before = list(load.tickets), list(load.messages)
        await self.ours.all_is_well()
        await self.lectern("backup", "create", "--incremental")
        await self.ours.write(40)
        await self.ours.all_is_well()
        assert load.tickets != before[0]
        await self.ours.down()
        said = await self.restore("--aside")
        assert "did not happen" in said, said
        load.tickets[:], load.messages[:] = before
        await self.back_again()

    async def bring_back_a_schema(self) -> None:
        """lost-schema: one service's, to the moment before the loss, by the watched log"""
        await self.lectern("backup", "create")
        with self._watching():
            await self.ours.write(40)
            await self.ours.all_is_well()
            lost_at = datetime.now(UTC)
            with self._superuser() as connection:
                connection.execute("DROP SCHEMA support CASCADE")
                connection.execute("CHECKPOINT")
            await eventually(lambda: self._watched_until(lost_at), 60)
        await self.ours.down()
        await self.restore("--only=support", f"--at={lost_at.isoformat()}")
        await self.back_again()

    async def write_a_lost_log(self) -> None:
        """lost-kafka: the log is written anew from the event log and the services"""
        await self.ours.all_is_well()
        await self.ours.down()
        shutil.rmtree(self.ours.project.directory / "kafka" / "data")
        said = await self.lectern("rebuild", "log")
        assert said.strip().endswith("0 facts are lost"), said
        await self.back_again()

    async def do_without_valkey(self) -> None:
        """lost-valkey: killed, its data deleted; nothing that counts was there"""
        process = self.ours.world.process("valkey")
        process.stop()
        shutil.rmtree(self.ours.project.directory / "valkey", ignore_errors=True)
        await self.ours.write()
        process.start()
        process.wait_ready()
        await self.ours.write()
        await self.ours.all_is_well()

    async def bring_back_everything(self) -> None:
        """lost-everything: an empty machine, a repository in a bucket and the key"""
        await self.ours.all_is_well()
        with s3_server() as environment:
            login = {f"LECTERN_BACKUP_{name}": value for name, value in environment.items()}
            self.values |= {"LECTERN_BACKUP_URL": f"s3://{BUCKET}/lectern", **login}
            await self._lose_everything()
        await self.back_again()

    async def _lose_everything(self) -> None:
        await self.lectern("backup", "create")
        async with self.ours.world.writing():
            said = await self.lectern("backup", "create", "--incremental")
        assert "upon" in said, said
        await self.ours.all_is_well()
        said = await self.lectern("backup", "create", "--incremental")
        assert "upon" in said, said
        await self.lectern("backup", "verify", f"--identity={self.key}")
        files = self.ours.files()
        await self.ours.down()
        end_orphans(self.ours.project)
        delete_data(self.ours.project.directory)
        shutil.rmtree(self.ours.project.directory)
        said = await self.restore()
        assert "0 facts are lost" in said, said
        assert self.ours.files() == files

    def _superuser(self) -> psycopg.Connection:
        url = with_database(self.ours.project.postgres_url, DATABASE)
        return psycopg.connect(url, autocommit=True)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        argv = [sys.executable, "-m", "deploy.local.cli", "backup", "watch", "--every=2"]
        log = (self.ours.directory / "watch.log").open("wb")
        with log, subprocess.Popen(
            argv, cwd=CHECKOUT, env=self.ours.operator(**self.values), stdout=log, stderr=log,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                yield
            finally:
                end(process, signal.SIGINT)

    def _watched_until(self, moment: datetime) -> bool:
        looks = (self.ours.directory / "repository" / "watched").rglob("*.json")
        newest = max((path.stem for path in looks), default="")
        return newest > f"{moment:%Y%m%dT%H%M%S%f}Z"
