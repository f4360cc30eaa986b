"""Nothing personal and no secret stands in the logs of any process, whatever somebody does."""

import re
from uuid import uuid4

import pytest

from libs.common.testing.harness import eventually
from tests.support import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PATHS_WITH_TEXT = ("/api/courses/?search=", "/api/nowhere/?email=")


@pytest.mark.promise("audit")
async def test_logs_name_nobody_and_tell_no_secret(stage: Stage):
    mark = uuid4().hex[:12]
    first, last, word = f"Zaphira{mark}", f"Beeblebrox{mark}", f"Dolphin{mark}"
    visitor = stage.visitor(f"zaphira{mark}")
    email, old, new = visitor.email, f"Old-secret-{mark}-1", f"New-secret-{mark}-1"
    body = {"email": email, "password": old, "first_name": first, "last_name": last, "role": "student"}
    await visitor.post("/api/accounts/register/", body, 201)

    async def code_of(count: int) -> str:
        mails = await eventually(lambda: stage.mails(email), 30)
        assert len(mails) >= count
        return re.findall(r"\b\d{6}\b", mails[0]["text"])[0]

    verification = await eventually(lambda: code_of(1), 30)
    wrong = "000000" if verification != "000000" else "111111"
    verify = "/api/accounts/verify-email/"
    await visitor.raw("POST", verify, json={"email": email, "verification_code": wrong})
    joined = await visitor.post(verify, {"email": email, "verification_code": verification})
    tokens = list(joined["tokens"].values())
    await visitor.raw("POST", "/api/accounts/login/", json={"email": email, "password": f"{old}x"})
    await visitor.raw("POST", "/api/accounts/register/", json=body)  # the address is taken
    await visitor.login(old)
    tokens += [visitor.access, visitor.refresh]
    await visitor.call("PATCH", "/api/accounts/users/me/", json={"last_name": f"{last}-Prefect", "bio": word})
    await visitor.raw(
        "POST", "/api/core/support-tickets/", json={"subject": word, "description": f"{word} {email}"}
    )
    await visitor.raw(
        "POST", "/api/core/discussions/", json={"title": word, "forum": email, "content": first}
    )
    await visitor.raw("POST", "/api/courses/", content=f'{{"title": "{word}'.encode())
    for path in PATHS_WITH_TEXT:
        await visitor.raw("GET", f"{path}{email}")
    await visitor.raw(
        "GET", "/api/courses/", headers={"Authorization": f"Bearer {visitor.access[:-4]}{mark}"}
    )
    ticket = (await visitor.post("/api/ws-ticket/", status=201))["ticket"]
    await visitor.raw("GET", f"/ws/notifications/?ticket={ticket}")
    await visitor.post("/api/accounts/password-reset/", {"email": email}, 200)
    reset = await eventually(lambda: code_of(2), 30)
    confirm = {"email": email, "reset_code": reset, "new_password": new, "confirm_password": new}
    await visitor.raw("POST", "/api/accounts/password-reset-confirm/", json=confirm)

    logs = {file.name: file.read_text(errors="replace") for file in stage.project.logs.glob("*.log*")}
    assert "/api/accounts/register/" in logs["gateway.log"]
    secrets = {
        "address": email, "address, encoded": email.replace("@", "%40"),
        "first name": first, "last name": last,
        "old password": old, "new password": new, "a text": word, "ticket": ticket,
        **{f"token {number}": token for number, token in enumerate(tokens)},
    }  # fmt: skip
    found = [
        (name, what) for name, text in logs.items() for what, secret in secrets.items() if secret in text
    ]
    assert found == []
    codes = re.compile(rf"\b({verification}|{reset})\b")
    told = [name for name, text in logs.items() for line in text.splitlines() if _about_code(line, codes)]
    assert told == []


def _about_code(line: str, codes: re.Pattern[str]) -> bool:
    """Six digits may be a part of a time or a size: only what calls itself a code counts."""
    return "code" in line and codes.search(line) is not None
