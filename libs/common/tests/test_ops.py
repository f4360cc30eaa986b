"""What administrators see of a service and do to it over HTTP; nobody else does."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from conftest import OpenHarness
from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Record
from libs.common.data.heartbeat import FORGOTTEN, SILENT, Heartbeat
from libs.common.runtime.logs import RECENT, get_logger
from libs.common.testing import states
from libs.common.testing.harness import Harness, Person
from libs.common.tests import toy
from libs.common.tests.test_inbox import letters, records

TOY = "/api/ops/toy/"
SUPPORT = "/api/ops/support/"


@pytest.fixture
def admin(toy_service: Harness) -> Person:
    return toy_service.person("admin")


async def park(harness: Harness) -> str:
    """A key whose second event cannot be applied, with one behind it."""
    toy.Switch.poisoned = True
    uuid = uuid4()
    await apply_batch(harness.db, toy.SUBSCRIPTION, records(uuid, 1, 13, 3))
    toy.Switch.poisoned = False
    return str(uuid)


async def audited(harness: Harness) -> list[Any]:
    async with harness.db.sessions() as session:
        return list((await session.execute(text("SELECT * FROM audit_entries ORDER BY id"))).all())


@pytest.mark.parametrize("role", ["student", "teacher", "moderator", "manager"])
async def test_operations_are_for_administrators(toy_service: Harness, role: str):
    await park(toy_service)
    client = toy_service.person(role).client
    for path in ("dead-letters/", "dead-letters/1/", "audit-log/", "versions/?topic=toy.events"):
        assert (await client.get(TOY + path)).status_code == 403, path
    for path in ("dead-letters/redrive/", "balances/"):
        assert (await client.post(TOY + path, json={})).status_code == 403, path
    assert await letters(toy_service) == ["error", "behind"]


async def test_a_dead_letter_is_seen_with_its_payload_and_that_is_written_down(
    toy_service: Harness, admin: Person
):
    key = await park(toy_service)
    listed = (await admin.client.get(f"{TOY}dead-letters/")).json()
    assert listed["count"] == 1
    [entry] = listed["results"]
    assert (entry["topic"], entry["key"], entry["waiting"]) == ("toy.events", key, 2)
    assert (entry["reason"], entry["error"]) == ("error", "Poison: thirteen")
    shown = (await admin.client.get(f"{TOY}dead-letters/{entry['letter']}/")).json()
    assert (shown["sequence"], shown["type"], shown["error"]) == (2, "toy.counted.v1", "Poison: thirteen")
    assert f'"counter":"{key}"' in shown["payload"]
    assert shown["headers"]["ce_sequence"] == "2"
    [looked] = [row for row in await audited(toy_service) if row.actor == admin.uuid]
    assert (looked.action, looked.target) == ("dead_letter_read", str(entry["letter"]))
    for number in (10**9, 2**63 - 1):
        assert (await admin.client.get(f"{TOY}dead-letters/{number}/")).status_code == 404
    for wrong in ("0", "x", str(2**63)):
        assert (await admin.client.get(f"{TOY}dead-letters/{wrong}/")).status_code == 404


async def test_what_has_no_envelope_is_listed_alone(toy_service: Harness, admin: Person):
    stray = Record("toy.events", "k", b"\xff\x00{", {}, partition=1, offset=7)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [stray])
    [entry] = (await admin.client.get(f"{TOY}dead-letters/")).json()["results"]
    assert (entry["key"], entry["reason"], entry["waiting"]) == (None, "malformed", 1)
    shown = (await admin.client.get(f"{TOY}dead-letters/{entry['letter']}/")).json()
    assert (shown["payload"], shown["offset"]) == ("\\xff\\x00{", 7)


async def test_a_redrive_says_what_it_would_do_and_does_it(toy_service: Harness, admin: Person):
    key, other = await park(toy_service), await park(toy_service)
    redrive = f"{TOY}dead-letters/redrive/"
    tried = (await admin.client.post(redrive, json={"key": key, "dry_run": True})).json()
    assert tried["more"] is False
    [outcome] = tried["results"]
    assert (outcome["key"], outcome["result"], outcome["applied"]) == (key, "would apply", 2)
    assert await letters(toy_service) == ["error", "behind"] * 2
    assert not [row for row in await audited(toy_service) if row.target == key]

    [done] = (await admin.client.post(redrive, json={"key": key})).json()["results"]
    assert (done["result"], done["applied"], done["error"]) == ("applied", 2, None)
    assert await letters(toy_service) == ["error", "behind"]
    [entry] = [row for row in await audited(toy_service) if row.target == key]
    assert (entry.action, entry.actor, entry.operator) == ("dead_letters_redriven", admin.uuid, "")

    toy.Switch.poisoned = True
    [failed] = (await admin.client.post(redrive, json={})).json()["results"]
    assert (failed["key"], failed["result"], failed["error"]) == (other, "failed", "Poison: thirteen")
    toy.Switch.poisoned = False
    assert (await admin.client.post(redrive, json={"topic": "elsewhere"})).json()["results"] == []
    [done] = (await admin.client.post(redrive, json={"topic": "toy.events"})).json()["results"]
    assert done["key"] == other
    log = (await admin.client.get(f"{TOY}audit-log/?target={other}")).json()
    assert [row["action"] for row in log["results"]] == ["dead_letters_redriven"]
    assert (await admin.client.post(redrive, json={"keys": [key]})).status_code == 422


async def test_versions_of_another_service_are_weighed_by_key(toy_service: Harness, admin: Person):
    whole, late, parked = uuid4(), uuid4(), await park(toy_service)
    await apply_batch(toy_service.db, toy.SUBSCRIPTION, [*records(whole, 1, 2), *records(late, 1)])
    versions = [
        {"key": key, "version": version} for key, version in ((str(whole), 2), (str(late), 4), (parked, 3))
    ]
    answer = await admin.client.post(f"{TOY}balances/", json={"topic": "toy.events", "versions": versions})
    assert answer.json() == {
        "topic": "toy.events",
        "published": 9,
        "applied": 4,
        "parked": 2,
        "missing": [{"key": str(late), "published": 4, "applied": 1, "parked": 0}],
    }
    # What was read of the producer may be older than what has been applied since.
    older = await admin.client.post(
        f"{TOY}balances/", json={"topic": "toy.events", "versions": [{"key": str(whole), "version": 1}]}
    )
    assert older.json()["missing"] == []
    wrong = await admin.client.post(f"{TOY}balances/", json={"topic": "nothing", "versions": []})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_filter")
    many = {"topic": "toy.events", "versions": [{"key": str(n), "version": 1} for n in range(5001)]}
    assert (await admin.client.post(f"{TOY}balances/", json=many)).status_code == 422


async def test_a_service_tells_its_processes_and_what_waits(open_service: OpenHarness):
    support = await open_service("support")
    admin = support.person("admin")
    now = datetime.now(UTC)
    get_logger("libs.test").error("something_failed", exc_info=ValueError("about a person"))
    facts = {"connections": {"taken": 1, "most": 10}, "sockets": 0, "consumers": []}
    await Heartbeat(support.db, "api", lambda: facts, lambda: now).beat()
    await Heartbeat(support.db, "worker", lambda: facts, lambda: now - 2 * SILENT).beat()
    await support.run_task("support.report_worker")
    operations = (await admin.client.get(SUPPORT)).json()
    found = {each["kind"]: each for each in operations["processes"]}
    assert {kind: each["status"] for kind, each in found.items()} == {
        "api": "running", "worker": "silent", "tasks": "running",
    }  # fmt: skip
    assert found["api"]["connections"] == {"taken": 1, "most": 10}
    error = found["api"]["errors"][-1]
    assert (error["event"], error["error"]) == ("something_failed", "ValueError")
    assert "about a person" not in str(operations)
    assert operations["outbox"] == {"pending": 0, "oldest_seconds": 0}
    assert operations["dead_letters"] == {"waiting": 0, "parked_keys": 0}
    assert [each["task"] for each in operations["waiting"]] == ["support.privacy"]
    assert "support.events" in operations["publishes"]
    assert "identity.users" in operations["subscribes"]
    later = now + FORGOTTEN + timedelta(seconds=1)
    await Heartbeat(support.db, "api", lambda: facts, lambda: later).beat()
    kinds = [each["kind"] for each in (await admin.client.get(SUPPORT)).json()["processes"]]
    assert kinds == ["api"]
    RECENT.clear()


async def test_a_service_tells_the_versions_that_it_has_published(open_service: OpenHarness):
    support = await open_service("support")
    admin, ada = support.person("admin"), support.person()
    await support.deliver(states.user_state(ada.uuid, "Ada Lovelace", "student"))
    made = await ada.client.post(
        "/api/core/support-tickets/",
        json={
            "subject": "Help, please",
            "description": "It does not open at all, since today.",
            "category": "technical",
            "priority": "low",
        },
    )
    assert made.status_code == 201, made.text
    answer = (await admin.client.get(f"{SUPPORT}versions/?topic=support.events")).json()
    versions = [{"key": made.json()["uuid"], "version": 1}]
    assert answer == {"topic": "support.events", "versions": versions, "next": None}
    past = await admin.client.get(f"{SUPPORT}versions/?topic=support.events&after=g")
    assert past.json()["versions"] == []
    wrong = await admin.client.get(f"{SUPPORT}versions/?topic=forum.events")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_filter")
