"""Who may call what operators need: administrators, and nobody else."""

from importlib import import_module
from typing import Any
from uuid import uuid4

from libs.common.runtime.settings import SERVICES
from tests.security.row import Row

ADMINS = "401 403 403 403 403 2xx 403 403"
NOT_THERE = "401 403 403 403 403 404 403 403"


def _rows(service: str) -> dict[str, Row]:
    topics = import_module(f"services.{service}.worker").SUBSCRIPTION.topics

    def letter(_: Any) -> tuple[str]:
        return ("999999999",)

    return {
        f"{service}_get_operations": Row(ADMINS),
        f"{service}_list_dead_letters": Row(ADMINS),
        f"{service}_get_dead_letter": Row(NOT_THERE, path=letter),
        f"{service}_redrive_dead_letters": Row(ADMINS, body={"dry_run": True}),
        f"{service}_list_audit_entries": Row(ADMINS),
        f"{service}_list_versions": Row(ADMINS, query=f"?topic={service}.privacy.events"),
        f"{service}_weigh_versions": Row(ADMINS, body={"topic": topics[0], "versions": []}),
    }


OPERATIONS = {name: row for service in SERVICES for name, row in _rows(service).items()} | {
    "analytics_create_rebuild": Row(ADMINS),
    "analytics_list_rebuilds": Row(ADMINS),
    "analytics_get_rebuild": Row(NOT_THERE, path=lambda _: (str(uuid4()),)),
}
