"""`python -m libs.common.data.clock SERVICE`: seconds by which PostgreSQL's clock is ahead of this machine's.

Less than zero where it is behind; the time that the answer took is not counted as a difference.
"""

import sys
import time
from importlib import import_module

import psycopg

from libs.common.runtime.connections import postgres_url
from libs.common.runtime.settings import SERVICES, ServiceSettings


def ahead(settings: ServiceSettings) -> float:
    url = postgres_url(settings, direct=True).render_as_string(hide_password=False)
    with psycopg.connect(url, connect_timeout=5) as connection:
        asked = time.time()
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        answered = time.time()
    assert row is not None
    return float(max(row[0] - answered, 0.0) + min(row[0] - asked, 0.0))


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in SERVICES:
        print(f"name one service of {', '.join(SERVICES)}", file=sys.stderr)
        return 2
    try:
        print(f"{ahead(import_module(f'services.{arguments[0]}.settings').Settings()):.3f}")
    except psycopg.OperationalError as error:
        print(f"PostgreSQL does not answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
