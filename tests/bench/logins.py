"""How long `/livez` of identity takes while two hundred people log in: hashing must not stall its loop."""

import asyncio
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import httpx

from deploy.local.control import down, up
from deploy.local.project import CHECKOUT, Project, environment
from deploy.local.testing import temporary_directory
from tests.bench.figures import Figure

LOGINS = 200
EMAIL, PASSWORD = "bench@lectern.example", "Learn-together-1"


async def storm(project: Project) -> tuple[list[float], list[int], float]:
    """Milliseconds of each `/livez`, the statuses of the logins, and the seconds that they took together."""
    waits: list[float] = []
    limits = httpx.Limits(max_connections=LOGINS)
    async with (
        httpx.AsyncClient(base_url=project.gateway_url, timeout=60, limits=limits) as client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{project.ports['identity']}", timeout=60) as probe,
    ):
        await probe.get("/livez")
        body = {"email": EMAIL, "password": PASSWORD}
        began = time.perf_counter()
        logins = [asyncio.create_task(client.post("/api/accounts/login/", json=body)) for _ in range(LOGINS)]
        while not all(login.done() for login in logins):
            start = time.perf_counter()
            (await probe.get("/livez")).raise_for_status()
            waits.append((time.perf_counter() - start) * 1000)
            await asyncio.sleep(0.005)
        answers = await asyncio.gather(*logins)
    return waits, [answer.status_code for answer in answers], time.perf_counter() - began


async def measure() -> list[Figure]:
    with temporary_directory() as directory:
        project = replace(Project.for_tests(directory), services=("identity",))
        try:
            await asyncio.to_thread(up, project)
            create = [sys.executable, "-m", "services.identity.admin", "create"]
            create += ["--email", EMAIL, "--password", PASSWORD]
            await asyncio.to_thread(
                subprocess.run, create, cwd=CHECKOUT, env=environment(project), check=True, timeout=60
            )
            waits, statuses, seconds = await storm(project)
        finally:
            await asyncio.to_thread(down, project)
    good = statuses.count(200)
    p99 = statistics.quantiles(waits, n=100)[98] if len(waits) > 1 else None
    return [
        Figure(
            f"/livez p99 during {LOGINS} parallel logins",
            p99 if good == LOGINS else None,
            " ms",
            least=100,
            aim=50,
            at_most=True,
            detail=f"{good} of {LOGINS} logins answered 200 within {seconds:.1f} s; /livez asked"
            f" {len(waits)} times, p50 {statistics.median(waits):.1f} ms, longest {max(waits):.1f} ms",
            reason="hashing, identity, PostgreSQL, gateway and the clients share the cores",
        )
    ]
