"""Run by Superset's own Python: every metric of every imported dataset, and every chart's data, as JSON."""

import json
import os
import sys

from superset.app import create_app

app = create_app()
# Each request makes a context of its own, as in a server.
client = app.test_client()
login = {"username": "admin", "password": os.environ["SUPERSET_PASSWORD"], "provider": "db"}
token = client.post("/api/v1/security/login", json=login).get_json()["access_token"]
headers = {"Authorization": f"Bearer {token}"}
query = "(page_size:100,columns:!(id,table_name,schema))"
datasets = client.get(f"/api/v1/dataset/?q={query}", headers=headers).get_json()["result"]
numbers = {}
for dataset in datasets:
    found = client.get(f"/api/v1/dataset/{dataset['id']}", headers=headers)
    if found.status_code != 200:
        sys.exit(f"{dataset}: {found.status_code} {found.get_data(as_text=True)[:500]}")
    detail = found.get_json()["result"]
    metrics = [metric["metric_name"] for metric in detail["metrics"]]
    body = {
        "datasource": {"id": dataset["id"], "type": "table"},
        "queries": [{"metrics": metrics, "columns": [], "filters": [], "row_limit": 10}],
        "result_format": "json",
        "result_type": "full",
    }
    answer = client.post("/api/v1/chart/data", json=body, headers=headers)
    if answer.status_code != 200:
        sys.exit(f"{dataset['table_name']}: {answer.status_code} {answer.get_data(as_text=True)[:500]}")
    (row,) = answer.get_json()["result"][0]["data"]
    numbers.update({f"{dataset['table_name']}.{name}": value for name, value in row.items()})
charts = client.get("/api/v1/chart/?q=(page_size:100)", headers=headers).get_json()["result"]
dashboards = client.get("/api/v1/dashboard/", headers=headers).get_json()["result"]
placed = client.get(f"/api/v1/dashboard/{dashboards[0]['id']}/charts", headers=headers).get_json()["result"]
print(
    json.dumps(
        {
            "numbers": numbers,
            "charts": [chart["slice_name"] for chart in charts],
            "dashboards": [dashboard["dashboard_title"] for dashboard in dashboards],
            "placed": [chart["slice_name"] for chart in placed],
        }
    )
)
