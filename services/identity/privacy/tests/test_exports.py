"""Exports: asked for, packed by every service, built into one archive, kept for a week."""

import hashlib
import io
from datetime import timedelta
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import orjson
import pytest
from sqlalchemy import text

from libs.common.events import learning
from libs.common.files.storage import EXCHANGE, Storage
from libs.common.privacy.content import as_json
from libs.common.runtime.clock import system_clock
from libs.common.testing.harness import Harness
from services.identity import consumers
from services.identity.privacy.rules import archive_name, percent
from services.identity.tests.conftest import Account, People

EXPORT = "/api/accounts/users/me/export/"
OTHERS: dict[str, Any] = {module.__name__.rpartition(".")[2]: module for module in consumers.OTHERS}


async def asked(account: Account) -> dict:
    answer = await account.client.post(EXPORT)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/jobs/{answer.json()['uuid']}/"
    return answer.json()


async def seen(account: Account, job: dict) -> dict:
    answer = await account.client.get(f"/api/jobs/{job['uuid']}/")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def packed(identity: Harness, account: Account, job: dict, service: str, **changes: Any) -> Any:
    """A part as a service would have left it, and what it says of it."""
    exchange = Storage(identity.settings, EXCHANGE)
    place = f"{job['uuid']}/{service}-1"
    await exchange.put_bytes(f"{place}/0001", f"Canary file of {service}".encode())
    files = [{"name": "../my file.txt", "object": f"{place}/0001", "bytes": 1}]
    whole = {"service": service, "user": account.user["uuid"], "data": {"rows": ["Canary"]}, "files": files}
    data = as_json(whole)
    await exchange.put_bytes(f"{place}.json", data)
    values = {
        "job": UUID(job["uuid"]), "user": UUID(account.user["uuid"]), "object": f"{place}.json",
        "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": 1, "files": 1,
    }  # fmt: skip
    return OTHERS[service].ExportPartPacked(**values | changes)


async def all_packed(identity: Harness, account: Account, job: dict) -> None:
    for service in OTHERS:
        await identity.deliver(await packed(identity, account, job, service))


async def sweep(identity: Harness, **later: float) -> None:
    moment = system_clock() + timedelta(**later)
    await identity.run_task("identity.sweep_exports", clock=lambda: moment)
    while identity.queue.started:
        name, arguments, _ = identity.queue.started.pop(0)
        await identity.run_task(name, *arguments, clock=lambda: moment)


async def kinds(identity: Harness, job: dict) -> list[str]:
    return [kind for kind, key, _ in await identity.published() if key == job["uuid"]]


async def test_an_export_is_one_archive_of_all_parts(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    assert (job["kind"], job["status"], job["percent"], job["result_url"]) == ("export", "queued", 0, None)
    assert {each["service"] for each in job["services"]} == {"identity", *OTHERS}
    shares = []
    for service in OTHERS:
        await identity.deliver(await packed(identity, ada, job, service))
        now = await seen(ada, job)
        shares.append((now["status"], now["percent"]))
    assert shares == [("running", 90 * number // len(OTHERS)) for number, _ in enumerate(OTHERS, 1)]
    await identity.run_tasks()
    done = await seen(ada, job)
    assert (done["status"], done["percent"], done["error"]) == ("done", 100, None)
    assert all(each["acknowledged_at"] for each in done["services"])
    archive = await identity.client().get(done["result_url"].removeprefix(identity.settings.public_url))
    assert archive.headers["content-type"] == "application/zip"
    with ZipFile(io.BytesIO(archive.content)) as found:
        assert found.testzip() is None
        names = set(found.namelist())
        assert names == {
            "README.txt", "identity.json", *(f"{service}.json" for service in OTHERS),
            *(f"files/{service}/_my file.txt" for service in OTHERS),
        }  # fmt: skip
        own = orjson.loads(found.read("identity.json"))
        assert own["data"]["account"]["email"] == "ada@lectern.example"
        assert {each["kind"] for each in own["data"]["activity"]} >= {"registered", "email_verified"}
        forum_part = orjson.loads(found.read("forum.json"))
        assert forum_part["files"] == [{"file": "files/forum/_my file.txt", "bytes": 20}]
        assert found.read("files/forum/_my file.txt") == b"Canary file of forum"
    assert await Storage(identity.settings, EXCHANGE).list_folder(job["uuid"]) == []
    assert await kinds(identity, job) == ["identity.export_requested.v1", "identity.export_finished.v1"]


async def test_one_export_runs_at_a_time_and_answers_are_counted_once(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    assert (await asked(ada))["uuid"] == job["uuid"]
    part = await packed(identity, ada, job, "forum")
    assert (await identity.deliver((part, 1), (part, 1))).duplicates == 1
    assert (await seen(ada, job))["percent"] == 90 // len(OTHERS)
    await all_packed(identity, ada, job)
    identity.queue.started *= 3
    await identity.run_tasks()
    assert (await kinds(identity, job)).count("identity.export_finished.v1") == 1
    assert len(await Storage(identity.settings).list_folder(f"exports/{job['uuid']}")) == 1
    assert (await asked(ada))["uuid"] != job["uuid"]


async def test_a_job_has_an_etag_that_changes_with_it(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    path = f"/api/jobs/{job['uuid']}/"
    tag = (await ada.client.get(path)).headers["etag"]
    assert (await ada.client.get(path, headers={"If-None-Match": tag})).status_code == 304
    await identity.deliver(await packed(identity, ada, job, "forum"))
    assert (await ada.client.get(path, headers={"If-None-Match": tag})).status_code == 200
    assert (await ada.client.delete(path, headers={"If-Match": '"9"'})).status_code == 412
    assert (await ada.client.delete(path, headers={"If-Match": '"1"'})).status_code == 200


async def test_a_cancelled_export_is_cleared_also_of_what_comes_late(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    await identity.deliver(await packed(identity, ada, job, "forum"))
    for _ in range(2):
        cancelled = await ada.client.delete(f"/api/jobs/{job['uuid']}/")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    await identity.run_tasks()
    exchange = Storage(identity.settings, EXCHANGE)
    assert await exchange.list_folder(job["uuid"]) == []
    await identity.deliver(await packed(identity, ada, job, "support"))
    identity.queue.started.clear()
    await sweep(identity)
    assert await exchange.list_folder(job["uuid"]) == []
    assert (await kinds(identity, job))[1:] == ["identity.export_cancelled.v1"]
    assert (await asked(ada))["uuid"] != job["uuid"]


async def test_a_cancel_while_the_archive_is_written_leaves_none(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    await all_packed(identity, ada, job)
    building = list(identity.queue.started)
    await ada.client.delete(f"/api/jobs/{job['uuid']}/")
    identity.queue.started = building
    await identity.run_tasks()
    assert (await seen(ada, job))["status"] == "cancelled"
    assert await Storage(identity.settings).list_folder(f"exports/{job['uuid']}") == []


async def test_a_service_that_gives_up_ends_the_export_without_an_archive(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    uuid, user = UUID(job["uuid"]), UUID(ada.user["uuid"])
    await identity.deliver(learning.ExportPartFailed(job=uuid, user=user, reason="not_packed"))
    await all_packed(identity, ada, job)
    await identity.run_tasks()
    failed = await seen(ada, job)
    assert (failed["status"], failed["result_url"]) == ("failed", None)
    assert failed["error"].startswith("The data of learning could not be packed")
    assert await Storage(identity.settings, EXCHANGE).list_folder(job["uuid"]) == []


async def test_a_damaged_part_never_gets_into_an_archive(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    await all_packed(identity, ada, job)
    await Storage(identity.settings, EXCHANGE).put_bytes(f"{job['uuid']}/forum-1.json", b'{"files": []}')
    await identity.run_tasks()
    assert (await seen(ada, job))["status"] == "running"
    for minutes in range(2, 14, 2):
        await sweep(identity, minutes=minutes)
    failed = await seen(ada, job)
    assert failed["error"].startswith("The archive could not be written at the data of forum;")
    assert await Storage(identity.settings).list_folder(f"exports/{job['uuid']}") == []


async def test_an_own_part_that_cannot_be_read_ends_the_export_at_once(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    await all_packed(identity, ada, job)
    whole = b"no JSON"
    await Storage(identity.settings, EXCHANGE).put_bytes(f"{job['uuid']}/notify-1.json", whole)
    async with identity.db.session() as session:
        planted = text("UPDATE privacy_parts SET sha256 = :sum WHERE job = :job AND service = 'notify'")
        await session.execute(planted, {"sum": hashlib.sha256(whole).hexdigest(), "job": job["uuid"]})
    await identity.run_tasks()
    failed = await seen(ada, job)
    assert (failed["status"], failed["result_url"]) == ("failed", None)
    assert failed["error"].startswith("The archive could not be written at the data of notify;")


async def test_a_lost_build_is_started_again(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    await all_packed(identity, ada, job)
    identity.queue.started.clear()
    await sweep(identity)
    assert (await seen(ada, job))["status"] == "done"


async def test_an_export_is_given_up_after_a_week(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    await sweep(identity, days=6)
    assert (await seen(ada, job))["status"] == "queued"
    await sweep(identity, days=8)
    late = ", ".join(OTHERS)
    assert (await seen(ada, job))["error"].startswith(f"The data of {late} did not arrive")


async def test_an_archive_is_kept_for_a_week(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    await all_packed(identity, ada, job)
    await identity.run_tasks()
    await sweep(identity, days=6)
    assert (await seen(ada, job))["result_url"]
    await sweep(identity, days=8)
    kept = await seen(ada, job)
    assert (kept["status"], kept["result_url"]) == ("done", None)
    assert await Storage(identity.settings).list_folder(f"exports/{job['uuid']}") == []


async def test_the_owner_may_delete_the_archive_before(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    job = await asked(ada)
    await all_packed(identity, ada, job)
    await identity.run_tasks()
    for _ in range(2):
        deleted = await ada.client.delete(f"/api/jobs/{job['uuid']}/")
        assert (deleted.status_code, deleted.json()["result_url"]) == (200, None)
    await identity.run_tasks()
    assert (await seen(ada, job))["status"] == "done"
    assert await Storage(identity.settings).list_folder(f"exports/{job['uuid']}") == []


async def test_an_export_is_its_owners_alone(identity: Harness, people: People):
    ada, eve = await people.join("ada@lectern.example"), await people.join("eve@lectern.example")
    admin = await people.admin()
    job = await asked(ada)
    for account in (eve, admin):
        for method in ("GET", "DELETE"):
            answer = await account.client.request(method, f"/api/jobs/{job['uuid']}/")
            assert answer.status_code == 404
    assert (await identity.client().get(f"/api/jobs/{job['uuid']}/")).status_code == 401
    assert (await identity.client().post(EXPORT)).status_code == 401


def test_an_export_is_full_only_when_it_is_done():
    assert percent("open", "export", 6, 7, 100) == 99
    assert percent("open", "erasure", 7, 7, 0) == 99
    assert percent("failed", "export", 3, 7, 0) == 45


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("../../etc/passwd", set(), "_.._etc_passwd"),
        ("essay.pdf", {"essay.pdf"}, "essay (2).pdf"),
        ("واجب.pdf", set(), "واجب.pdf"),
        ("..", set(), "file"),
        ("a\r\nb/c\\d", set(), "a__b_c_d"),
    ],
)
def test_a_file_in_the_archive_is_one_path_segment(name: str, taken: set[str], expected: str):
    assert archive_name(name, {*taken}) == expected
