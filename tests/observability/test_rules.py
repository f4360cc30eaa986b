"""Rules, runbooks, dashboards and metrics belong together; no server is needed to see it."""

import re
from pathlib import Path

import pytest
import yaml

from deploy.local.project import CHECKOUT, DEFAULT_PORTS
from deploy.observability.docs import HERE, rules
from gateway.metrics import SECONDS as GATEWAY_SECONDS
from libs.common.runtime.metrics import LAG_SECONDS
from libs.common.runtime.settings import SERVICES
from tests.observability.expressions import dashboards, declared, named, panels

PROMETHEUS = HERE / "prometheus"
RUNBOOKS = CHECKOUT / "docs" / "runbooks"
DISASTERS = ("lost-", "restore", "README")
"""Runbooks that begin with what an operator sees, not with an alert."""
ALERTS = [rule for rule in rules() if "alert" in rule]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def test_names_are_found_in_expressions():
    found = named('sum by (a, b) (rate(x_total{c="d_total"}[5m])) / on (e) group_left y:z:rate5m > 3 or up')
    assert found == {"x_total", "y:z:rate5m", "up"}


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_declared_metrics(rule):
    assert named(rule["expr"]) <= declared()


def test_dashboards_ask_for_declared_metrics():
    asked = list(panels())
    assert len(asked) > 50
    assert {place: named(expr) - declared() for place, expr in asked if named(expr) - declared()} == {}


def test_thresholds_of_objectives_are_bounds_of_buckets():
    text = (PROMETHEUS / "rules" / "recording.yml").read_text()
    assert set(re.findall(r'le="([^"]+)"', text)) == {"0.5", "5.0"}
    assert 0.5 in GATEWAY_SECONDS
    assert 5 in LAG_SECONDS


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    linked = {rule["annotations"]["runbook_url"] for rule in ALERTS}
    there = {
        f"docs/runbooks/{page.name}" for page in RUNBOOKS.glob("*.md") if not page.name.startswith(DISASTERS)
    }
    assert linked == there


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_how_urgent_it_is_and_its_runbook_is_its_own(rule):
    assert rule["labels"]["severity"] in ("page", "ticket")
    page = Path(CHECKOUT / rule["annotations"]["runbook_url"]).read_text()
    assert page.startswith(f"# {rule['alert']}\n")
    for part in ("**What people notice.**", "**See why.**", "**Do.**"):
        assert part in page


def test_every_alert_is_shown_to_fire_and_to_be_quiet():
    shown = {"fires": set(), "is quiet": set()}
    for file in (PROMETHEUS / "tests").glob("*.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            (case,) = test["alert_rule_test"]
            kind = "fires" if case["exp_alerts"] else "is quiet"
            assert test["name"].endswith(kind)
            for expected in case["exp_alerts"] or [{"exp_labels": {}}]:
                severity = expected["exp_labels"].get("severity") or test["name"].split("(")[1].split(")")[0]
                shown[kind].add((case["alertname"], severity))
    wanted = {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}
    assert shown == {"fires": wanted, "is quiet": wanted}


def test_links_of_runbooks_lead_somewhere():
    broken = [
        (page.name, link)
        for page in RUNBOOKS.glob("*.md")
        for link in LINK.findall(page.read_text())
        if not (page.parent / link).exists()
    ]
    assert broken == []


def test_dashboards_have_ids_of_their_own_and_read_the_provisioned_source():
    sources = yaml.safe_load((HERE / "grafana/provisioning/datasources/prometheus.yml").read_text())
    (source,) = sources["datasources"]
    uids = set()
    for _, board in dashboards():
        uids.add(board["uid"])
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(numbers) == len(set(numbers))
        for panel in board["panels"]:
            assert panel["type"] == "row" or panel["datasource"]["uid"] == source["uid"]
    assert len(uids) == 4


def test_every_process_of_the_suite_is_scraped():
    groups = [
        group
        for file in ("gateway.yml", "services.yml")
        for group in yaml.safe_load((PROMETHEUS / "targets" / file).read_text())
    ]
    scraped = {group["labels"]["service"]: group["targets"] for group in groups}
    assert scraped.keys() == {"gateway", "tasks", *SERVICES}
    for service in ("gateway", *SERVICES):
        assert scraped[service] == [f"{service}:{DEFAULT_PORTS[service]}"]
