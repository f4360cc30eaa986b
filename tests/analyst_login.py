"""An analyst's login, for as long as a test needs it."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from deploy.local.project import Project
from deploy.local.recovery import operator_environment
from libs.common.testing.harness import eventually
from tests.conftest import run_module


@asynccontextmanager
async def analyst_of(project: Project, name: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection as a login that `lectern analyst create` has made."""
    made = await asyncio.to_thread(_analysts, project, "create", name)
    [url] = re.findall(r"postgresql://\S+", made)
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await eventually(lambda: _published(connection), 60)
            yield connection
    finally:
        await asyncio.to_thread(_analysts, project, "drop", name)


async def _published(connection: psycopg.AsyncConnection) -> bool:
    """Whether the task that publishes the views has been at work in this new suite."""
    found = await connection.execute("SELECT to_regclass('enrollments')")
    return await found.fetchone() != (None,)


def _analysts(project: Project, *arguments: str) -> str:
    done = run_module(
        project, "services.analytics.analysts", *arguments, env=os.environ | operator_environment(project)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
