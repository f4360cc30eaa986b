"""Runs one command against fresh backing servers: `python -m deploy.local.with_servers postgres -- COMMAND…`.

The command finds them by the variables that every process of the suite is given; the servers end with it.
"""

import subprocess
import sys
from dataclasses import replace

from deploy.local.database import bootstrap_database
from deploy.local.project import SERVER_URLS, SetupError, environment
from deploy.local.testing import suite_servers


def main() -> int:
    arguments = sys.argv[1:]
    if "--" not in arguments or not arguments[-1:] or arguments[0] == "--":
        sys.exit("usage: python -m deploy.local.with_servers SERVER… -- COMMAND…")
    place = arguments.index("--")
    try:
        with suite_servers(tuple(arguments[:place])) as suite:
            print(f"servers: {suite}", file=sys.stderr)
            urls = {SERVER_URLS[name]: server.url for name, server in suite.servers.items()}
            if "postgres" in suite.servers:
                bootstrap_database(suite.postgres)
            values = environment(replace(suite.project, extra=urls))
            return subprocess.run(arguments[place + 1 :], env=values, check=False).returncode
    except SetupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())
