"""Carries out docs/analysts.md with an analyst's login on a real PostgreSQL: `make analysts`.

Logins by the command line; every SQL of the page, of Grafana's dashboard and Metabase's questions; the lake
by DuckDB; Superset from the registry with its datasets and dashboard, each metric compared with the
dictionary's number. `ONLY=superset,duckdb` chooses, `SKIP=superset` leaves out what takes long.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import yaml

from tests.analysts import superset
from tests.analysts.stage import World, close, world

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "deploy" / "analysts"
SQL = re.compile(r"```sql\n(.+?)```", re.DOTALL)
MACROS = (
    (re.compile(r"\$__timeFilter\((\w+)\)"), r"\1 BETWEEN '2000-01-01' AND '2100-01-01'"),
    (re.compile(r"\$__timeGroup\((\w+), '1d'\)"), r"date_trunc('day', \1)"),
)


def logins(made: World) -> str:
    command = "services.analytics.analysts"
    assert made.run(command, "list").split() == ["analyst_bi", "views"]
    made.run(command, "create", "grace", "--people")
    assert "analyst_grace  views and people" in made.run(command, "list")
    made.run(command, "drop", "grace")
    assert "grace" not in made.run(command, "list")
    for forbidden in ("SELECT * FROM people", "SELECT * FROM analytics.event_log", "CREATE TABLE x (y int)"):
        try:
            made.rows(forbidden)
        except psycopg.Error:
            continue
        raise AssertionError(f"the login may {forbidden}")
    return "logins made, listed, held to their views and dropped"


def page(made: World) -> str:
    queries = SQL.findall((ROOT / "docs" / "analysts.md").read_text())
    assert len(queries) >= 2
    for query in queries:
        assert made.rows(query.rstrip().rstrip(";")), query
    return f"{len(queries)} queries of the page"


def grafana(made: World) -> str:
    panels = json.loads((RECIPES / "grafana" / "learning.json").read_text())["panels"]
    for panel in panels:
        (target,) = panel["targets"]
        query = target["rawSql"]
        for macro, meant in MACROS:
            query = macro.sub(meant, query)
        assert "$__" not in query, query
        assert made.rows(query), panel["title"]
    source = yaml.safe_load((RECIPES / "grafana" / "datasource.yaml").read_text())["datasources"][0]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    return f"{len(panels)} panels of Grafana"


def metabase(made: World) -> str:
    questions = yaml.safe_load((RECIPES / "metabase" / "questions.yaml").read_text())
    for question in questions:
        assert made.rows(question["sql"]), question["name"]
    return f"{len(questions)} questions of Metabase"


def duckdb(made: World) -> str:
    made.run("services.analytics.lake", "write", "--views")
    asked = made.run("services.analytics.lake", "sql", "SELECT count(*) AS n FROM event_log", "--json")
    ((events,),) = made.rows("SELECT count(*) FROM event_log")
    assert json.loads(asked) == [{"n": events}]
    query = "SELECT sum(seconds) / 60.0 AS n FROM study"
    ((minutes,),) = made.rows(query)
    (row,) = json.loads(made.run("services.analytics.lake", "sql", query, "--json"))
    assert close(float(row["n"]), float(minutes))
    return f"{events:,} events and the views by DuckDB"


PARTS: dict[str, Callable[[World], str]] = {
    "logins": logins, "page": page, "grafana": grafana, "metabase": metabase, "duckdb": duckdb,
    "superset": superset.check,
}  # fmt: skip


def main() -> int:
    began = time.monotonic()
    only, skip = (set(filter(None, os.environ.get(name, "").split(","))) for name in ("ONLY", "SKIP"))
    said = []
    with world() as made:
        for name, part in PARTS.items():
            if name not in skip and (not only or name in only):
                said.append(part(made))
                print(f"  {said[-1]}", flush=True)
    print(f"analysts: {'; '.join(said)}; {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
