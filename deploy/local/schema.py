"""Migrations against a throwaway PostgreSQL.

`python -m deploy.local.schema check` upgrades every service from empty and fails where models and migrations
differ. `python -m deploy.local.schema revision SERVICE -m "Add …"` writes the next migration.
"""

import argparse
import os
import sys
from pathlib import Path

from alembic import command
from alembic.util.exc import CommandError

from deploy.local.database import bootstrap_database, service_url
from deploy.local.testing import suite_servers
from libs.common.data.migrations import ROOT, config, upgrade
from libs.common.runtime.settings import SERVICES


def check(services: list[str]) -> int:
    """0 when every service's models are what its migrations make."""
    failed = 0
    for service in services:
        upgrade(service)
        try:
            command.check(config(service))
        except CommandError as error:
            print(f"{service}: {error}", file=sys.stderr)
            failed = 1
        else:
            print(f"{service}: models and migrations agree")
    return failed


def revision(service: str, message: str) -> None:
    upgrade(service)
    number = len(list(Path(ROOT, "services", service, "migrations").glob("[0-9]*.py"))) + 1
    command.revision(config(service), message=message, autogenerate=True, rev_id=f"{number:04d}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Check or write migrations on a throwaway PostgreSQL.")
    parser.add_argument("command", choices=("check", "revision"))
    parser.add_argument("services", nargs="*")
    parser.add_argument("-m", "--message", default="Change tables.")
    arguments = parser.parse_args()
    services = arguments.services or list(SERVICES)
    with suite_servers(["postgres"]) as servers:
        bootstrap_database(servers.postgres)
        for service in services:
            os.environ[f"{service.upper()}_DATABASE_URL"] = service_url(servers.postgres, service)
        if arguments.command == "check":
            return check(services)
        for service in services:
            revision(service, arguments.message)
    return 0


if __name__ == "__main__":
    sys.exit(main())
