"""The dictionary's measures by Apache Spark over the lake: `make lake-spark`.

Every measure over all rows, by course and by month: the dictionary's expression, said in Spark's dialect by
sqlglot, over the lake's tables; each number is compared with PostgreSQL's over the views. PySpark comes from
its package registry and Iceberg's runtime from Maven, into the user's cache; neither is in the lock.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from sqlglot import exp

from libs.common.data.bootstrap import VIEWS
from services.analytics.dictionary import DIALECT, dictionary
from tests.analysts.packages import cache, make_environment
from tests.analysts.stage import World, close, world

PYSPARK = "4.0.1"
POM = Path(__file__).with_name("spark_pom.xml")
JAR = "iceberg-spark-runtime-4.0_2.13-1.10.0.jar"
SHA256 = "0480f1248e0a8b50ae2a730d7ad3e1a727351c362ca63f4a0c35182087a49323"


def python() -> Path:
    """The Python of an environment with PySpark."""
    return make_environment(cache("spark") / f"pyspark-{PYSPARK}", f"pyspark=={PYSPARK}") / "python"


def jar() -> Path:
    """Iceberg's runtime for Spark, as its sum says."""
    place = cache("spark") / JAR
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            # Maven writes beside the pom: it works on a copy.
            pom = shutil.copy(POM, Path(scratch) / "pom.xml")
            copied = Path(scratch) / "libs"
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={copied}"]
            subprocess.run(["mvn", "-q", "-B", "-f", pom, *goal], check=True)
            (copied / JAR).rename(place)
    found = hashlib.sha256(place.read_bytes()).hexdigest()
    assert found == SHA256, f"{place} is another file ({found}): delete it"
    return place


def for_spark(tree: exp.Expr) -> exp.Expr:
    """What PostgreSQL and Spark mean differently by the same words: seconds between two moments, and numbers
    with a point, which are decimals of few places to Spark."""

    def changed(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Extract) and isinstance(node.expression, exp.Sub):
            ends = (node.expression.this, node.expression.expression)
            later, earlier = (exp.func("unix_micros", end) for end in ends)
            micros = exp.Paren(this=exp.Sub(this=later, expression=earlier))
            return exp.Paren(this=exp.Div(this=micros, expression=exp.Literal.number("1E6")))
        if isinstance(node, exp.Literal) and not node.is_string and "." in node.this:
            return exp.Literal.number(f"{node.this}E0")
        return node

    return tree.copy().transform(changed)


def questions() -> Iterator[tuple[str, str, str]]:
    """Name, PostgreSQL's SQL and Spark's, of each measure in each grouping."""
    for name, dataset, measure in dictionary().measures():
        body = dictionary().datasets[dataset]
        groups = [("", "", "")]
        if body.course:
            column = exp.column(body.course, quoted=True)
            groups.append((" by course", column.sql(DIALECT), column.sql("spark")))
        if body.time:
            column = exp.column(body.time, quoted=True)
            ours = f"date_trunc('month', {column.sql(DIALECT)}::timestamptz AT TIME ZONE 'UTC')::date"
            groups.append((" by month", ours, f"CAST(date_trunc('month', {column.sql('spark')}) AS DATE)"))
        by_us, by_them = measure.tree.sql(DIALECT), for_spark(measure.tree).sql("spark")
        for said, ours, theirs in groups:
            queries = (_query(dataset, *each) for each in ((ours, by_us), (theirs, by_them)))
            yield (name + said, *queries)  # type: ignore[misc]


def _query(dataset: str, group: str, measure: str) -> str:
    if not group:
        return f"SELECT {measure} FROM {dataset}"
    return f"SELECT {group}, {measure} FROM {dataset} GROUP BY 1"


def by_postgresql(made: World) -> dict[str, dict[str, float | None]]:
    with psycopg.connect(made.admin, options=f"-c search_path={VIEWS} -c timezone=UTC") as connection:
        return {name: keyed(connection.execute(query.encode()).fetchall()) for name, query, _ in questions()}


def keyed(rows: list[Any]) -> dict[str, float | None]:
    """The number of each group, by the group as text."""
    return {
        " ".join(map(str, row[:-1])): None if row[-1] is None else float(row[-1]) for row in map(list, rows)
    }


def by_spark(made: World) -> tuple[dict[str, dict[str, float | None]], dict[str, Any]]:
    made.run("services.analytics.lake", "write", "--views")
    held = json.loads(made.run("services.analytics.lake", "status"))
    asked = {
        "tables": {name: table["metadata"] for name, table in held.items()},
        "queries": {name: query for name, _, query in questions()} | {"": "SELECT count(*) FROM event_log"},
        "scratch": str(made.directory / "warehouse"),
    }
    script = Path(__file__).with_name("spark_numbers.py")
    done = subprocess.run(
        [python(), script, jar()], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    ((events,),) = answer["rows"].pop("")
    assert int(events) == held["event_log"]["rows"]
    return {name: keyed(rows) for name, rows in answer["rows"].items()}, answer | {"held": held}


def main() -> int:
    began = time.monotonic()
    events = int(os.environ.get("EVENTS", "20000"))
    with world(events, learners=max(400, events // 50)) as made:
        expected = by_postgresql(made)
        found, about = by_spark(made)
        for name, groups in expected.items():
            assert groups.keys() == found[name].keys(), f"{name}: {groups.keys() ^ found[name].keys()}"
            wrong = {key: (found[name][key], number) for key, number in groups.items()
                     if not close(found[name][key], number)}  # fmt: skip
            assert not wrong, f"{name}: Spark, PostgreSQL: {list(wrong.items())[:5]}"
    numbers = sum(map(len, expected.values()))
    measures = len(list(dictionary().measures()))
    rows = about["held"]["event_log"]["rows"]
    print(
        f"lake-spark: {numbers:,} numbers of {measures} measures over {rows:,} events"
        f" are PostgreSQL's; Spark started in {about['start']:.0f} s, answered in {about['asking']:.0f} s;"
        f" {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
