"""Sends what a fuzzer makes of the OpenAPI document to a real suite, and compares the answers with it.

`make fuzz`. Schemathesis calls as a teacher, a manager, a student, nobody and an admin, and follows links: no
5xx, no undocumented status or type, no answer that its schema does not allow, no error but problem+json. A
quarter of the requests is altered on its way (`odd.py`): half surrogates, numbers that no double holds, paths
and queries of another spelling. Bounded to five minutes; prints the seed, and `LECTERN_FUZZ_SEED` repeats it.
"""

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from deploy.local.control import down, up
from deploy.local.project import CHECKOUT, Project
from deploy.local.testing import temporary_directory
from gateway.documents import OPENAPI
from tests.security import world as things
from tests.security.world import World
from tests.support import Stage

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "problem_details",
)  # fmt: skip
SECONDS = {"teacher": 90, "manager": 50, "student": 50, "anonymous": 30, "admin": 20}
# They end the session that asks; tests/security calls them.
ENDING = ("identity_logout", "identity_end_my_session")
# They can end the session that asks, when it finds itself: the admin calls them, last and alone.
POWER = ("identity_change_user", "identity_erase_user")


async def tokens(project: Project) -> dict[str, str]:
    """Access tokens by role, in a suite that holds a course with something of every kind."""
    stage = Stage(project, uuid4().hex[:8])
    world = await World.make(stage)
    for thing in (things.seat, things.published_quiz, things.submission, things.reply, things.ticket):
        await world.once(thing)
    people = {
        "teacher": world.owner, "manager": world.manager, "student": world.member, "admin": world.admin,
    }  # fmt: skip
    found = {role: visitor.access for role, visitor in people.items()}
    await stage.close()
    return found


def fuzz(project: Project, role: str, token: str | None, seed: int, directory: Path) -> int:
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", str(OPENAPI), "--url", project.gateway_url,
        "--checks", ",".join(CHECKS), "--max-time", str(SECONDS[role]), "--seed", str(seed),
        "--continue-on-failure", "--no-shrink", "--request-timeout", "20", "--warnings", "off",
        "--generation-database", "none",     ]  # fmt: skip
    if role == "admin":
        command += [f"--include-operation-id={name}" for name in POWER]
        command += ["--phases", "examples,coverage,fuzzing"]  # there is no link between the two
    else:
        command += [f"--exclude-operation-id={name}" for name in (*ENDING, *POWER)]
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    print(f"── as {role}, {SECONDS[role]} s, seed {seed}", flush=True)
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(CHECKOUT), "LECTERN_FUZZ_SEED": str(seed),
    }  # fmt: skip
    patience = SECONDS[role] + 120
    return subprocess.run(command, cwd=directory, env=environment, check=False, timeout=patience).returncode


def main() -> int:
    seed = int(os.environ.get("LECTERN_FUZZ_SEED") or random.randrange(2**31))
    roles = sys.argv[1:] or list(SECONDS)
    with temporary_directory() as directory:
        project = Project.for_tests(directory / "suite")
        try:
            up(project)
            found = asyncio.run(tokens(project))
            failed = [role for role in roles if fuzz(project, role, found.get(role), seed, directory)]
        finally:
            down(project)
    print(f"fuzz: failed as {', '.join(failed)}" if failed else "fuzz: nothing found")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
