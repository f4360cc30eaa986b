"""A PostgreSQL with a school's year in analytics, its views, its lake, and a login of an analyst."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from deploy.local.testing import suite_servers
from libs.common.data.bootstrap import VIEWS, with_database
from services.analytics.dictionary import DIALECT, dictionary
from tests.bench.history import fold, write
from tests.bench.school import school
from tests.bench.service import migrated

EVENTS = 8_000
LEARNERS, COURSES = 200, 8


@dataclass
class World:
    """`admin` and `analyst` are URLs; `environment` is what a process of analytics is told."""

    admin: str
    analyst: str
    environment: dict[str, str]
    directory: Path

    def run(self, module: str, *arguments: str) -> str:
        """A command of analytics, as an operator gives it."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{module} {arguments}: {done.stderr[-2000:]}"
        return done.stdout

    def rows(self, query: str) -> list[Any]:
        """As the analyst."""
        with psycopg.connect(self.analyst) as connection:
            return connection.execute(query.encode()).fetchall()

    def numbers(self) -> dict[str, float | None]:
        """Every measure of the dictionary over all rows, by PostgreSQL."""
        found: dict[str, float | None] = {}
        with psycopg.connect(self.admin, options=f"-c search_path={VIEWS}") as connection:
            for name, dataset, measure in dictionary().measures():
                query = f"SELECT {measure.tree.sql(DIALECT)} FROM {dataset}"
                (value,) = connection.execute(query.encode()).fetchone() or (None,)
                found[name] = None if value is None else float(value)
        return found


@contextmanager
def world(events: int = EVENTS, learners: int = LEARNERS, courses: int = COURSES) -> Iterator[World]:
    with suite_servers(["postgres"]) as servers, tempfile.TemporaryDirectory() as directory:
        url = migrated(servers.postgres, "analytics")
        made = school(learners, courses)
        write(url, made.base())
        write(url, made.events(events))
        asyncio.run(fold(url, accept=True))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "UPDATE analytics.live_projection SET"
                " position = (SELECT max(position) FROM analytics.event_log)"
            )
        admin = with_database(servers.postgres, "lectern")
        environment = os.environ | {
            "ANALYTICS_DATABASE_URL": url,
            "LECTERN_DATABASE_ADMIN_URL": admin,
            "LECTERN_STORAGE_URL": f"file:{directory}/storage",
            "LECTERN_ENVIRONMENT": "test",
        }
        made_world = World(admin, "", environment, Path(directory))
        made_world.analyst = made_world.run("services.analytics.analysts", "create", "bi").strip()
        yield made_world


def close(one: float | None, other: float | None) -> bool:
    """Equal but for the order of additions."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other))
