"""Superset's datasets, charts and dashboard, made from the dictionary: `python -m deploy.analysts.superset
[--check]` writes deploy/analysts/superset/, and `--zip FILE` what `superset import-dashboards` takes."""

import argparse
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import yaml

from libs.common.data.bootstrap import VIEWS
from services.analytics.dictionary import DIALECT, Dataset, dictionary

FOLDER = Path(__file__).parent / "superset"
DATABASE = "Lectern"
# Without a password; --uri gives an archive that of a login.
URI = "postgresql+psycopg2://analyst_superset@127.0.0.1:8432/lectern"
TYPES = {
    "string": "TEXT", "integer": "BIGINT", "number": "DOUBLE PRECISION", "boolean": "BOOLEAN", "uuid": "UUID",
    "time": "TIMESTAMP WITH TIME ZONE", "date": "DATE", "json": "JSONB",
}  # fmt: skip
CHARTS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "Enrolments by month": (
        "enrollments", "echarts_timeseries_bar",
        {"x_axis": "enrolled_at", "time_grain_sqla": "P1M", "metrics": ["count"], "groupby": []},
    ),
    "Completion rate": ("enrollments", "big_number_total", {"metric": "completion_rate"}),
    "Minutes of study by week": (
        "study", "echarts_timeseries_line",
        {"x_axis": "local_date", "time_grain_sqla": "P1W", "metrics": ["minutes"], "groupby": []},
    ),
    "Tickets by category": ("tickets", "pie", {"metric": "count", "groupby": ["category"]}),
}  # fmt: skip


def uuid_of(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"lectern/superset/{name}"))


def files(uri: str = URI) -> dict[str, Any]:
    """Every file by its path, as what its YAML says."""
    found: dict[str, Any] = {
        "metadata.yaml": {"version": "1.0.0", "type": "Dashboard", "timestamp": "2026-01-01T00:00:00+00:00"},
        f"databases/{DATABASE}.yaml": {
            "database_name": DATABASE,
            "sqlalchemy_uri": uri,
            "expose_in_sqllab": True,
            "allow_run_async": False,
            "allow_ctas": False,
            "allow_cvas": False,
            "allow_dml": False,
            "allow_file_upload": False,
            "extra": {},
            "uuid": uuid_of("database"),
            "version": "1.0.0",
        },
    }
    for name, dataset in dictionary().datasets.items():
        if dataset.sql_role == "analyst" and dataset.measures:
            found[f"datasets/{DATABASE}/{name}.yaml"] = _dataset(name, dataset)
    for number, (title, (name, kind, params)) in enumerate(CHARTS.items(), 1):
        found[f"charts/{number}.yaml"] = {
            "slice_name": title,
            "viz_type": kind,
            "params": {"viz_type": kind, "adhoc_filters": [], "row_limit": 1000, **params},
            "dataset_uuid": uuid_of(name),
            "uuid": uuid_of(title),
            "version": "1.0.0",
        }
    found[f"dashboards/{DATABASE}.yaml"] = _dashboard()
    return found


def _dataset(name: str, dataset: Dataset) -> dict[str, Any]:
    return {
        "table_name": name,
        "schema": VIEWS,
        "main_dttm_col": dataset.time,
        "description": dataset.description,
        "uuid": uuid_of(name),
        "database_uuid": uuid_of("database"),
        "metrics": [
            {
                "metric_name": metric,
                "verbose_name": measure.title,
                "expression": measure.tree.sql(DIALECT),
                "description": " ".join([measure.description, *measure.caveats]),
            }
            for metric, measure in dataset.measures.items()
        ],
        "columns": [
            {
                "column_name": column,
                "verbose_name": of.title,
                "is_dttm": of.type in ("time", "date"),
                "is_active": True,
                "type": TYPES[of.type],
                "groupby": of.type != "json",
                "filterable": of.type != "json",
                "description": " ".join([of.description, *of.caveats]),
            }
            for column, of in dataset.columns.items()
        ],
        "version": "1.0.0",
    }


def _dashboard() -> dict[str, Any]:
    """Two rows of two charts."""
    titles = list(CHARTS)
    position: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"children": ["GRID_ID"], "id": "ROOT_ID", "type": "ROOT"},
        "GRID_ID": {"children": [], "id": "GRID_ID", "parents": ["ROOT_ID"], "type": "GRID"},
        "HEADER_ID": {"id": "HEADER_ID", "meta": {"text": "Lectern"}, "type": "HEADER"},
    }
    for number in range(0, len(titles), 2):
        row = f"ROW-{number}"
        position["GRID_ID"]["children"].append(row)
        charts = [f"CHART-{number + place}" for place in range(2)]
        position[row] = {
            "children": charts, "id": row, "meta": {"background": "BACKGROUND_TRANSPARENT"},
            "parents": ["ROOT_ID", "GRID_ID"], "type": "ROW",
        }  # fmt: skip
        for chart, title in zip(charts, titles[number : number + 2], strict=True):
            position[chart] = {
                "children": [], "id": chart, "parents": ["ROOT_ID", "GRID_ID", row], "type": "CHART",
                "meta": {"chartId": int(chart[6:]) + 1, "height": 50, "width": 6, "sliceName": title,
                         "uuid": uuid_of(title)},
            }  # fmt: skip
    return {
        "dashboard_title": "Lectern",
        "slug": "lectern",
        "position": position,
        "metadata": {},
        "uuid": uuid_of("dashboard"),
        "version": "1.0.0",
    }


def written(uri: str = URI) -> dict[str, str]:
    return {
        path: yaml.safe_dump(content, sort_keys=False, width=110, allow_unicode=True)
        for path, content in files(uri).items()
    }


def stale() -> list[str]:
    """Files that are not what the dictionary says now."""
    wanted = written()
    there = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*.yaml")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main() -> None:
    parser = argparse.ArgumentParser(description="Superset's assets from the dictionary.")
    parser.add_argument("--check", action="store_true", help="fail where they are stale")
    parser.add_argument("--zip", type=Path, help="write them to this archive, and not to the checkout")
    parser.add_argument("--uri", default=URI, help="with --zip: the login's, postgresql+psycopg2://…")
    arguments = parser.parse_args()
    if arguments.check:
        if names := stale():
            sys.exit(f"stale: {', '.join(names)}: run 'python -m deploy.analysts.superset'.")
    elif arguments.zip:
        with zipfile.ZipFile(arguments.zip, "w") as archive:
            for path, content in written(arguments.uri).items():
                archive.writestr(f"lectern/{path}", content)
    else:
        for path, content in written().items():
            (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / path).write_text(content)
        for name in stale():
            (FOLDER / name).unlink()


if __name__ == "__main__":
    main()
