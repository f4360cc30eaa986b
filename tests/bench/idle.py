"""The whole suite, doing nothing: its memory, and how long a second `make up` takes."""

import asyncio
import subprocess
import time
from dataclasses import replace

import psutil

from deploy.local.control import down, up
from deploy.local.process import SUPERVISED
from deploy.local.project import CHECKOUT, Project
from deploy.local.testing import temporary_directory
from libs.common.runtime.settings import SERVICES
from tests.bench.figures import Figure

SETTLE = 5.0  # seconds after readiness before memory is read
MEMORY, START = "memory of the idle suite", "make up, a second time"


def services_here() -> tuple[str, ...]:
    return tuple(name for name in SERVICES if (CHECKOUT / "services" / name / "app.py").exists())


def proportional_memory(project: Project) -> dict[str, float]:
    """MiB of PSS by kind of process: pages that several processes share are divided among them."""
    supervisor = int((project.directory / "supervisor.pid").read_text())
    found: dict[str, float] = {}
    family = {supervisor} | {child.pid for child in psutil.Process(supervisor).children(recursive=True)}
    for process in psutil.process_iter():
        try:
            if process.pid in family or process.environ().get(SUPERVISED) == project.mark:
                name = process.name()
                kind = name if name.startswith(("java", "postgres", "valkey")) else "Python"
                found[kind] = found.get(kind, 0) + process.memory_full_info().pss / 2**20
        except (psutil.Error, OSError):
            continue
    return found


def run() -> list[Figure]:
    """Starts a private suite on free ports, stops it, starts it again; all of it ends here."""
    services = services_here()
    absent = sorted(set(SERVICES) - set(services))
    note = f"; without {', '.join(absent)}, which is not there yet" if absent else ""
    with temporary_directory() as directory:
        project = replace(Project.for_tests(directory), services=services, with_seed=not absent)
        try:
            up(project)
            down(project)
            start = time.monotonic()
            # What `make up` does where everything is installed.
            subprocess.run(["bin/setup"], cwd=CHECKOUT, check=True, timeout=120)
            status = up(project)
            seconds = time.monotonic() - start
            time.sleep(SETTLE)
            memory = proportional_memory(project)
        finally:
            down(project)
    kinds = ", ".join(f"{kind} {size:,.0f}" for kind, size in sorted(memory.items()))
    return [
        Figure(
            MEMORY,
            sum(memory.values()) / 1024,
            " GiB",
            least=2.5,
            aim=1.5,
            at_most=True,
            detail=f"proportional set size of {len(status['processes'])} processes, their supervisor "
            f"and children, {SETTLE:.0f} s after readiness, in MiB: {kinds}{note}",
            reason="each service is a Python process of its own with FastAPI, SQLAlchemy and aiokafka in it",
        ),
        Figure(
            START,
            seconds,
            " s",
            least=60,
            aim=20,
            at_most=True,
            detail=f"`bin/setup` with everything installed, then until all processes are ready{note}",
            reason="Python imports of ten processes share the cores",
        ),
    ]


async def measure() -> list[Figure]:
    return await asyncio.to_thread(run)
