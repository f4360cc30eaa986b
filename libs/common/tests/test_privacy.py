"""Packing and erasing: what every service's privacy.py relies on; what each holds is tested there."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Subscription
from libs.common.data.jobs import Tasks
from libs.common.events.identity import ErasureRequested, ExportRequested, UserState
from libs.common.events.privacy import Erased, PartFailed, PartPacked
from libs.common.files.storage import EXCHANGE, Storage
from libs.common.privacy.content import PersonalData, as_json
from libs.common.privacy.parts import MOST_TRIES, Erasure, Privacy, find_erased
from libs.common.runtime.clock import SettableClock, system_clock
from libs.common.testing.harness import Harness, as_record
from libs.common.testing.privacy import answers_to, apply, erase, export, tables_with, tombstone
from libs.common.tests import toy


class ExportPartPacked(PartPacked):
    type = "toy.export_part_packed.v1"
    topic = "toy.privacy.events"


class ExportPartFailed(PartFailed):
    type = "toy.export_part_failed.v1"
    topic = "toy.privacy.events"


class PersonErased(Erased):
    type = "toy.person_erased.v1"
    topic = "toy.privacy.events"


class Broken:
    """How reading somebody's notes fails."""

    now: Exception | None = None


async def gather(session: AsyncSession, user: UUID) -> PersonalData:
    if Broken.now:
        raise Broken.now
    notes = await session.scalars(select(toy.Note.words).where(toy.Note.user == user))
    return PersonalData({"notes": [{"words": words} for words in notes]}, [("my note.txt", f"notes/{user}")])


async def forget(erasure: Erasure) -> None:
    await erasure.run(delete(toy.Note).where(toy.Note.user == erasure.user))
    erasure.objects.append(f"notes/{erasure.user}")


PRIVACY = Privacy("toy", toy.PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, forget)


async def on_user(session: AsyncSession, batch: Any) -> None:
    await PRIVACY.on_tombstones(session, batch)


@pytest.fixture
def service(toy_service: Harness, tmp_path: Path) -> Harness:
    """The toy with a privacy of its own, and with files."""
    Broken.now = None
    toy_service.settings.storage_url = f"file:{tmp_path}"
    tasks = Tasks("toy", toy.Settings)
    PRIVACY.declare(tasks)
    subscription = Subscription("toy", {UserState: on_user, **PRIVACY.handlers})
    return replace(toy_service, subscription=subscription, tasks=tasks)


async def noted(service: Harness, words: str = "Canary") -> UUID:
    """Somebody with a note in the table and one in a file."""
    user = uuid4()
    async with service.db.session() as session:
        session.add(toy.Note(user=user, words=words))
    await Storage(service.settings).put_bytes(f"notes/{user}", b"Canary in a file")
    return user


async def test_a_part_is_packed_once_with_its_files(service: Harness):
    part = await export(service, await noted(service))
    assert part["data"] == {"notes": [{"words": "Canary"}]}
    assert [file["name"] for file in part["files"]] == ["my note.txt"]
    copied = await Storage(service.settings, EXCHANGE).read_all(part["files"][0]["object"])
    assert copied == b"Canary in a file"


async def test_a_lost_task_is_started_again_and_a_second_one_changes_nothing(service: Harness):
    request = ExportRequested(job=uuid4(), user=await noted(service))
    await service.deliver(request)
    service.queue.started.clear()
    clock = SettableClock(system_clock() + timedelta(minutes=1))
    await service.run_task("toy.sweep_privacy", clock=clock)
    await service.run_tasks()
    await service.run_task("toy.pack_export", str(request.job))
    assert [kind for kind, _ in await answers_to(service, request.job)] == ["toy.export_part_packed.v1"]


async def test_a_part_is_given_up_after_five_tries(service: Harness, capsys: pytest.CaptureFixture[str]):
    Broken.now = OSError("Canary: a message may repeat what somebody wrote")
    request = ExportRequested(job=uuid4(), user=await noted(service))
    await service.deliver(request)
    clock = SettableClock(system_clock())
    for number in range(MOST_TRIES):
        assert await answers_to(service, request.job) == [], number
        await service.run_tasks()
        clock.advance(minutes=10)
        await service.run_task("toy.sweep_privacy", clock=clock)
    kind, answer = (await answers_to(service, request.job))[0]
    assert (kind, answer["reason"]) == ("toy.export_part_failed.v1", "not_packed")
    assert service.queue.started == []
    captured = capsys.readouterr()
    assert "Canary" not in captured.out + captured.err


@pytest.mark.parametrize("error", [ValueError("Canary"), TypeError("Canary"), OverflowError("Canary")])
async def test_what_would_fail_again_is_given_up_at_once(service: Harness, error: Exception):
    Broken.now = error
    request = ExportRequested(job=uuid4(), user=await noted(service))
    await service.deliver(request)
    await service.run_tasks()
    [(kind, answer)] = await answers_to(service, request.job)
    assert (kind, answer["reason"]) == ("toy.export_part_failed.v1", "not_packed")


ODD: list[tuple[Any, Any]] = [
    (123456789012345678901234567890, "123456789012345678901234567890"),
    (10**400, str(10**400)),
    (10**5000, hex(10**5000)),
    (Decimal("1e400"), "1E+400"),
    (Decimal("NaN"), "NaN"),
    (Decimal("1.5"), 1.5),
    (timedelta(minutes=1), 60.0),
    ("half \ud800", "half \\ud800"),
    (b"\x00\xff", "00ff"),
    ({1: {2, 3}}, {"1": [2, 3]}),
    (IPv4Address("127.0.0.1"), "127.0.0.1"),
]


@pytest.mark.parametrize(("value", "expected"), ODD, ids=map(str, range(len(ODD))))
def test_whatever_was_stored_goes_out(value: Any, expected: Any):
    whole = {"data": {"rows": [{"answer": value, "at": system_clock(), "id": uuid4()}]}}
    assert orjson.loads(as_json(whole))["data"]["rows"][0]["answer"] == expected


@pytest.mark.parametrize("tombstone_first", [True, False])
async def test_rows_and_files_of_an_erased_person_are_gone(service: Harness, tombstone_first: bool):
    user, other = await noted(service), await noted(service, "Other")
    assert await erase(service, user, tombstone_first=tombstone_first) == 1
    assert await tables_with(service, "canary") == set()
    assert await tables_with(service, "other") == {"toy.notes other"}
    assert await Storage(service.settings).list_folder("notes") == [f"notes/{other}"]


async def test_request_and_tombstone_that_passed_each_other_are_found_by_the_sweep(service: Harness):
    user = await noted(service)
    request = ErasureRequested(job=uuid4(), user=user, user_version=7, actor=user)
    await apply(service, tombstone(user, 7))
    async with service.db.session() as session:  # as if the two had been applied at the same time
        await session.execute(text("UPDATE key_progress SET last_seq = 6"))
    await service.deliver(request)
    async with service.db.session() as session:
        await session.execute(text("UPDATE key_progress SET last_seq = 7 WHERE topic = 'identity.users'"))
    assert await answers_to(service, request.job) == []
    await service.run_task("toy.sweep_privacy")
    assert [kind for kind, _ in await answers_to(service, request.job)] == ["toy.person_erased.v1"]


async def test_a_tombstone_that_kafka_has_forgotten_is_not_waited_for(service: Harness):
    user = await noted(service)
    request = ErasureRequested(job=uuid4(), user=user, user_version=7, actor=user)
    await service.deliver(request)
    await service.run_task("toy.sweep_privacy", clock=SettableClock(system_clock() + timedelta(minutes=50)))
    assert await answers_to(service, request.job) == []
    await service.run_task("toy.sweep_privacy", clock=SettableClock(system_clock() + timedelta(minutes=70)))
    assert len(await answers_to(service, request.job)) == 1
    assert await tables_with(service, "canary") == set()


async def test_what_is_parked_of_a_person_becomes_a_tombstone(service: Harness):
    user = await noted(service)
    state = UserState.model_validate(
        {"uuid": user, "email": "canary@lectern.example", "first_name": "Canary", "last_name": "L",
         "full_name": "Canary L", "role": "student", "is_active": True, "is_verified": True, "avatar": None,
         "bio": "", "locale": "en", "time_zone": "UTC", "date_joined": system_clock()}
    )  # fmt: skip
    request = ErasureRequested(job=uuid4(), user=user, user_version=2, actor=user)
    assert service.subscription is not None
    poison = as_record(state, 1, key=str(user))
    poison.headers["ce_specversion"] = "0.1"
    outcome = await apply_batch(service.db, service.subscription, [poison, tombstone(user, 2)])
    assert outcome.parked == 2
    await service.deliver(request)
    await service.run_task("toy.sweep_privacy", clock=SettableClock(system_clock() + timedelta(hours=2)))
    assert await tables_with(service, "canary") == set()
    async with service.db.sessions() as session:
        left = await session.execute(text("SELECT count(*), count(payload) FROM dead_letter"))
        assert tuple(left.one()) == (2, 0)  # nothing of the account of events is lost


async def test_no_stored_answer_tells_of_an_erased_person(service: Harness):
    user, other = await noted(service), await noted(service, "Other")
    async with service.db.session() as session:
        await session.execute(
            text(
                "INSERT INTO idempotency_keys (principal, key, request_hash, status, headers, body)"
                " VALUES (:p, :k, '', 200, '[]', convert_to(:b, 'UTF8'))"
            ),
            [
                {"p": str(user), "k": "own", "b": '{"name": "Canary"}'},
                {"p": str(other), "k": "about", "b": f'{{"author": {{"uuid": "{user}", "name": "Canary"}}}}'},
                {"p": str(other), "k": "else", "b": f'{{"author": {{"uuid": "{other}", "name": "Other"}}}}'},
            ],
        )
    assert await erase(service, user) == 3
    async with service.db.sessions() as session:
        assert (await session.scalars(text("SELECT key FROM idempotency_keys"))).all() == ["else"]


async def test_the_erased_are_known_among_others(service: Harness):
    user, other = await noted(service), await noted(service)
    await erase(service, user)
    async with service.db.sessions() as session:
        assert await find_erased(session, toy.PrivacyPart, {user, other}) == {user}
