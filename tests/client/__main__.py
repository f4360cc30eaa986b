"""Compiles a client generated from the OpenAPI document, runs the code of docs/front-end.md, draws charts.

`make client`. Everything happens in a temporary directory, with a suite of its own.
Needs Node 18 or newer with npm.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.control import down, up
from deploy.local.project import Project
from deploy.local.testing import temporary_directory
from gateway.documents import OPENAPI
from tests.conftest import run_module
from tests.support import PASSWORD

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "front-end.md"
ADMIN = "charts@lectern.example"
VENDORED = HERE.parents[1] / "gateway" / "static" / "console" / "vendor" / "chart.umd.min.js"
BLOCK = re.compile(r"^```ts\n// (?P<name>[a-z]+\.ts)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def run(directory: Path, *command: str, **environment: str) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, cwd=directory, env=os.environ | environment, check=True, timeout=300)


def build(directory: Path) -> None:
    """Types from the document, the page's blocks as modules, all compiled strictly."""
    for name in ("package.json", "package-lock.json", "tsconfig.json", "visit.ts", "charts.ts"):
        shutil.copy(HERE / name, directory)
    blocks = list(BLOCK.finditer(PAGE.read_text()))
    if len(blocks) != PAGE.read_text().count("```ts"):
        raise SystemExit("docs/front-end.md: every ts block must begin with its file's name")
    for block in blocks:
        (directory / block["name"]).write_text(block["code"])
    run(directory, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    types = ["npx", "openapi-typescript", str(OPENAPI), "--output", "lectern.d.ts"]
    run(directory, *types, "--default-non-nullable=false")  # a default is for what may be left out
    run(directory, "npx", "tsc")


def create_admin(project: Project) -> None:
    command = ("create", "--email", ADMIN, "--password", PASSWORD)
    made = run_module(project, "services.identity.admin", *command)
    if made.returncode:
        raise SystemExit(made.stderr)


def main() -> int:
    if shutil.which("npm") is None:
        print("client: npm is missing: install it with 'apt-get install nodejs npm'", file=sys.stderr)
        return 1
    with temporary_directory() as directory:
        work = directory / "client"
        work.mkdir()
        build(work)
        project = Project.for_tests(directory / "suite")
        try:
            up(project)
            create_admin(project)
            chart_js = str(VENDORED) if VENDORED.exists() else ""
            run(
                work, "node", "built/visit.js", LECTERN_URL=project.gateway_url, MAIL_URL=project.mail_url,
                ADMIN_EMAIL=ADMIN, ADMIN_PASSWORD=PASSWORD, CHART_JS=chart_js,
            )  # fmt: skip
        finally:
            down(project)
    return 0


if __name__ == "__main__":
    sys.exit(main())
