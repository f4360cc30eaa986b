"""Second factors: enrolled and confirmed, asked for at login, each code used once, not got around."""

import asyncio
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import httpx
import pyotp
import pytest
from sqlalchemy import text

from conftest import Mailbox
from libs.common.runtime.clock import SettableClock
from libs.common.testing.harness import Harness
from services.identity.mfa.rules import is_totp, normal_otp, steps_to_try
from services.identity.tests.conftest import PASSWORD, Account, People, dump

MFA = "/api/accounts/users/me/mfa"
ADA = "ada@lectern.example"


class Authenticator:
    """What is on somebody's phone, at the time of `clock`."""

    def __init__(self, secret: str, clock: SettableClock) -> None:
        self.totp = pyotp.TOTP(secret)
        self.clock = clock

    def code(self, steps: int = 0) -> str:
        return self.totp.at(self.clock.now, counter_offset=steps)

    def wrong(self) -> str:
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in (f"{number:06d}" for number in range(10)) if code not in near)


class Ada:
    """Somebody with a second factor."""

    def __init__(self, identity: Harness, account: Account, phone: Authenticator, codes: list[str]) -> None:
        self.identity = identity
        self.client = account.client
        self.phone = phone
        self.codes = codes

    async def login(
        self, otp: str | None = None, password: str = PASSWORD, ip: str = "198.51.100.7"
    ) -> httpx.Response:
        body = {"email": ADA, "password": password} | ({} if otp is None else {"otp": otp})
        client = self.identity.client(**{"X-Forwarded-For": ip})
        return await client.post("/api/accounts/login/", json=body)

    async def prove(self, path: str, otp: str, password: str = PASSWORD) -> httpx.Response:
        return await self.client.post(f"{MFA}/{path}/", json={"password": password, "otp": otp})


@pytest.fixture
async def ada(identity: Harness, people: People, clock: SettableClock, mailbox: Mailbox) -> Ada:
    account = await people.join(ADA)
    enrolment = (await account.client.post(f"{MFA}/enrol/")).json()
    phone = Authenticator(enrolment["secret"], clock)
    answer = await account.client.post(f"{MFA}/confirm/", json={"otp": phone.code()})
    assert answer.status_code == 200, answer.text
    await identity.run_tasks()
    clock.advance(seconds=30)
    return Ada(identity, account, phone, answer.json()["recovery_codes"])


def outcome(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("code")


async def test_an_enrolment_can_be_typed_followed_and_scanned(people: People, clock: SettableClock):
    account = await people.join(ADA)
    body = (await account.client.post(f"{MFA}/enrol/")).json()
    assert set(body) == {"secret", "otpauth_url", "qr_svg"}
    url = urlsplit(body["otpauth_url"])
    assert (url.scheme, url.netloc, url.path) == ("otpauth", "totp", "/Lectern:ada%40lectern.example")
    assert parse_qs(url.query) == {"secret": [body["secret"]], "issuer": ["Lectern"]}
    assert len(body["secret"]) == 32
    assert ElementTree.fromstring(body["qr_svg"]).tag.endswith("svg")
    # Until it is confirmed nothing is asked for.
    assert (await account.client.get("/api/accounts/users/me/")).json()["mfa_enabled"] is False
    await people.login(ADA)


async def test_a_login_asks_for_a_code_after_the_right_password_only(ada: Ada):
    assert (await ada.client.get("/api/accounts/users/me/")).json()["mfa_enabled"] is True
    assert outcome(await ada.login(password="wrong-one-1")) == (401, "bad_credentials")
    assert outcome(await ada.login(ada.phone.code(), "wrong-one-1")) == (401, "bad_credentials")
    for nothing in (None, ""):
        assert outcome(await ada.login(nothing)) == (401, "otp_required")
    assert outcome(await ada.login(ada.phone.wrong())) == (401, "invalid_otp")
    answer = await ada.login(ada.phone.code())
    assert outcome(answer) == (200, None)
    assert answer.json()["user"]["mfa_enabled"] is True


@pytest.mark.promise("MFA")
async def test_a_code_works_once_and_older_ones_no_more(ada: Ada, clock: SettableClock):
    now = ada.phone.code()
    before = ada.phone.code(-1)
    assert (await ada.login(f"{now[:3]} {now[3:]}")).status_code == 200
    for used in (now, before):
        assert outcome(await ada.login(used)) == (401, "invalid_otp")
    clock.advance(seconds=30)
    assert outcome(await ada.login(now)) == (401, "invalid_otp")
    assert (await ada.login(ada.phone.code())).status_code == 200


async def test_the_code_that_confirmed_does_not_log_in(ada: Ada):
    assert outcome(await ada.login(ada.phone.code(-1))) == (401, "invalid_otp")


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
async def test_clocks_may_differ_by_one_step(ada: Ada, clock: SettableClock, steps: int, status: int):
    clock.advance(seconds=90)
    assert (await ada.login(ada.phone.code(steps))).status_code == status


@pytest.mark.promise("MFA")
async def test_of_twenty_parallel_logins_with_one_code_one_succeeds(ada: Ada):
    code = ada.phone.code()
    answers = await asyncio.gather(*(ada.login(code, ip=f"10.0.{net}.1") for net in range(20)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 401, 429}


async def test_a_recovery_code_stands_in_once_however_it_is_spelt(ada: Ada):
    assert len(set(ada.codes)) == 10
    assert all(len(code) == 11 and code[5] == "-" for code in ada.codes)
    for spelt in (ada.codes[0], ada.codes[1].upper(), ada.codes[2].replace("-", " ")):
        assert (await ada.login(spelt)).status_code == 200
    assert outcome(await ada.login(ada.codes[0])) == (401, "invalid_otp")
    answers = await asyncio.gather(*(ada.login(ada.codes[3], ip=f"10.0.{net}.1") for net in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


@pytest.mark.promise("MFA")
async def test_a_reset_password_does_not_get_around_it(ada: Ada, identity: Harness, mailbox: Mailbox):
    new = "Another-good-one-2"
    await identity.client().post("/api/accounts/password-reset/", json={"email": ADA})
    await identity.run_tasks()
    body = {"email": ADA, "reset_code": mailbox.code(), "new_password": new, "confirm_password": new}
    answer = await identity.client().post("/api/accounts/password-reset-confirm/", json=body)
    assert answer.status_code == 200
    assert "access" not in answer.text
    assert outcome(await ada.login(password=new)) == (401, "otp_required")
    assert (await ada.login(ada.phone.code(), new)).status_code == 200


async def test_neither_does_a_code_to_verify_the_address(ada: Ada, identity: Harness, mailbox: Mailbox):
    async with identity.db.session() as session:
        await session.execute(text("UPDATE users SET is_verified = false"))
    await identity.client().post("/api/accounts/resend-verification/", json={"email": ADA})
    async with identity.db.session() as session:
        await session.execute(text("UPDATE users SET is_verified = true"))
        await session.execute(text("UPDATE code_mails SET used_at = NULL, tries = 0"))
    body = {"email": ADA, "verification_code": mailbox.code(0)}
    answer = await identity.client().post("/api/accounts/verify-email/", json=body)
    assert outcome(answer) == (422, "invalid_code")


async def test_wrong_codes_are_throttled_wherever_they_come_from(ada: Ada, clock: SettableClock):
    for net in range(5):
        answer = await ada.login(ada.phone.wrong(), ip=f"10.0.{net}.1")
        assert outcome(answer) == (401, "invalid_otp")
    blocked = await ada.login(ada.phone.code(), ip="10.0.9.1")
    assert outcome(blocked) == (429, "too_many_attempts")
    assert blocked.headers["retry-after"] == "1"
    clock.advance(seconds=1)
    assert (await ada.login(ada.phone.code(), ip="10.0.9.1")).status_code == 200


async def test_being_asked_for_a_code_is_neither_a_failure_nor_a_success(ada: Ada, clock: SettableClock):
    for _ in range(4):
        assert (await ada.login(password="wrong-one-1")).status_code == 401
    for _ in range(3):
        assert outcome(await ada.login()) == (401, "otp_required")
    assert outcome(await ada.login(password="wrong-one-1")) == (401, "bad_credentials")
    assert outcome(await ada.login()) == (429, "too_many_attempts")
    clock.advance(seconds=1)
    assert outcome(await ada.login()) == (401, "otp_required")
    # Taken back: the code may follow at once.
    assert (await ada.login(ada.phone.code())).status_code == 200


async def test_an_authenticator_is_not_replaced_while_it_is_asked_for(ada: Ada):
    assert outcome(await ada.client.post(f"{MFA}/enrol/")) == (409, "mfa_already_enabled")
    again = await ada.client.post(f"{MFA}/confirm/", json={"otp": ada.phone.code()})
    assert outcome(again) == (409, "mfa_already_enabled")
    assert (await ada.login(ada.phone.code())).status_code == 200


async def test_only_a_right_code_of_the_newest_enrolment_confirms(people: People, clock: SettableClock):
    account = await people.join(ADA)
    none = await account.client.post(f"{MFA}/confirm/", json={"otp": "123456"})
    assert outcome(none) == (409, "mfa_not_enrolled")
    phones = [
        Authenticator((await account.client.post(f"{MFA}/enrol/")).json()["secret"], clock) for _ in range(2)
    ]
    for otp in (phones[0].code(), phones[1].wrong(), "abcde-fghjk"):
        answer = await account.client.post(f"{MFA}/confirm/", json={"otp": otp})
        assert outcome(answer) == (422, "wrong_otp")
        assert answer.json()["errors"][0]["field"] == "otp"
    answer = await account.client.post(f"{MFA}/confirm/", json={"otp": phones[1].code()})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["disable", "recovery-codes"])
async def test_giving_it_up_and_new_codes_need_password_and_code(ada: Ada, path: str):
    assert outcome(await ada.prove(path, ada.phone.code(), "wrong-one-1")) == (422, "wrong_password")
    assert outcome(await ada.prove(path, ada.phone.wrong())) == (422, "wrong_otp")
    assert (await ada.client.post(f"{MFA}/{path}/", json={"password": PASSWORD})).status_code == 422
    assert (await ada.prove(path, ada.phone.code())).status_code == 200


@pytest.mark.parametrize("path", ["disable", "recovery-codes"])
async def test_without_a_second_factor_there_is_nothing_to_give_up(people: People, path: str):
    account = await people.join(ADA)
    answer = await account.client.post(f"{MFA}/{path}/", json={"password": PASSWORD, "otp": "123456"})
    assert outcome(answer) == (409, "mfa_not_enabled")


async def test_new_recovery_codes_void_the_older_ones(ada: Ada):
    answer = await ada.prove("recovery-codes", ada.codes[0])
    assert answer.status_code == 200
    newer = answer.json()["recovery_codes"]
    assert len(newer) == 10
    assert not set(newer) & set(ada.codes)
    assert outcome(await ada.login(ada.codes[1])) == (401, "invalid_otp")
    assert (await ada.login(newer[1])).status_code == 200


async def test_after_giving_it_up_the_password_is_enough_and_another_can_be_enrolled(
    ada: Ada, identity: Harness
):
    assert (await ada.prove("disable", ada.codes[9])).status_code == 200
    assert (await ada.login()).status_code == 200
    assert (await ada.client.get("/api/accounts/users/me/")).json()["mfa_enabled"] is False
    async with identity.db.sessions() as session:
        for table in ("totp_secrets", "recovery_codes"):
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0
    assert (await ada.client.post(f"{MFA}/enrol/")).status_code == 200


async def test_the_owner_is_told_of_every_change(ada: Ada, identity: Harness, mailbox: Mailbox):
    assert "is on" in str(mailbox.messages[-1]["Subject"])
    await ada.client.patch("/api/accounts/users/me/", json={"preferred_language": "ar"})
    await ada.prove("recovery-codes", ada.codes[0])
    await identity.run_tasks()
    codes_text = mailbox.text()
    await ada.prove("disable", ada.phone.code())
    await identity.run_tasks()
    assert "رموز استرداد" in codes_text
    assert "كلمة المرور وحدها" in mailbox.text()
    page = (await ada.client.get("/api/accounts/users/me/activity/")).json()
    assert [row["kind"] for row in page["results"]][:4] == [
        "mfa_disabled", "recovery_codes_renewed", "profile_changed", "mfa_enabled"
    ]  # fmt: skip


async def test_the_log_tells_a_question_from_a_failure(ada: Ada):
    await ada.login()
    await ada.login(ada.phone.wrong())
    await ada.login(ada.phone.code())
    page = (await ada.client.get("/api/accounts/users/me/activity/")).json()
    assert [row["kind"] for row in page["results"]][:3] == ["login", "login_failed", "otp_required"]


@pytest.mark.promise("MFA")
async def test_neither_secret_nor_recovery_codes_can_be_read_in_the_database(
    identity: Harness, people: People, clock: SettableClock
):
    account = await people.join(ADA)
    keyed = {"Idempotency-Key": "one"}
    secret = (await account.client.post(f"{MFA}/enrol/", headers=keyed)).json()["secret"]
    otp = Authenticator(secret, clock).code()
    answer = await account.client.post(f"{MFA}/confirm/", json={"otp": otp}, headers=keyed)
    everything = await dump(identity)
    for text_of_it in (secret, *answer.json()["recovery_codes"]):
        assert text_of_it not in everything
        assert normal_otp(text_of_it) not in everything.lower()
        assert text_of_it.encode().hex() not in everything


async def test_enabling_is_a_new_version_and_an_event(ada: Ada, identity: Harness):
    kinds = [kind for kind, _, _ in await identity.published()]
    assert kinds[-2:] == ["identity.profile_updated.v1", "identity.user.v1"]


def test_steps_that_were_used_are_not_tried_again():
    assert steps_to_try(3000.0, 0) == [100, 99, 101]
    assert steps_to_try(3029.9, 99) == [100, 101]
    assert steps_to_try(3030.0, 102) == []


@pytest.mark.parametrize(("otp", "totp"), [("123 456", True), ("4k7vd-9m2qx", False), ("١٢٣٤٥٦", False)])
def test_six_digits_are_of_the_authenticator(otp: str, totp: bool):
    assert is_totp(normal_otp(otp)) is totp


@pytest.mark.promise("MFA")
async def test_a_lost_factor_is_taken_off_by_whoever_stands_above(
    ada: Ada, people: People, identity: Harness, mailbox: Mailbox, clock: SettableClock
):
    clock.advance(seconds=-30)  # tokens of those who come now must not be from the future
    me = (await ada.client.get("/api/accounts/users/me/")).json()["uuid"]
    path = f"/api/accounts/users/{me}/"
    teacher, admin = await people.join("bob@lectern.example", "teacher"), await people.admin()
    for who, body, wanted in (
        (ada, {"mfa_enabled": False}, (403, "forbidden")),
        (teacher, {"mfa_enabled": False}, (403, "forbidden")),
        (admin, {"mfa_enabled": True}, (422, "invalid_input")),
    ):
        assert outcome(await who.client.patch(path, json=body)) == wanted
    assert outcome(await ada.login()) == (401, "otp_required")
    answer = await admin.client.patch(path, json={"mfa_enabled": False})
    assert (answer.status_code, answer.json()["mfa_enabled"]) == (200, False)
    assert outcome(await ada.login()) == (200, None)
    assert outcome(await ada.login(ada.codes[0])) == (200, None)  # nothing asks for it any more
    assert (await ada.client.post(f"{MFA}/confirm/", json={"otp": ada.phone.code()})).status_code == 409
    async with identity.db.session() as session:
        rows = await session.execute(text("SELECT action, target FROM audit_entries"))
        assert ("second_factor_removed", me) in [tuple(row) for row in rows]
    await identity.run_tasks()
    assert mailbox.messages[-1]["To"].endswith(f"<{ADA}>")
    assert "is off" in mailbox.messages[-1]["Subject"]
