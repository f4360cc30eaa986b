"""Identity in-process, with its key loaded and what it mails kept."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import text

from conftest import Mailbox, OpenHarness
from libs.common.runtime.clock import SettableClock, system_clock
from libs.common.testing.harness import Harness
from services.identity.admin import create_admin

PASSWORD = "Learn-together-1"


@pytest.fixture
async def identity(open_service: OpenHarness, mailbox: Mailbox) -> Harness:
    harness = await open_service("identity")
    harness.settings.smtp_url = mailbox.url
    ring = harness.app.state.identity.ring
    ring.jwks = {"keys": []}
    await ring.load()
    return harness


@pytest.fixture
def clock(identity: Harness) -> Iterator[SettableClock]:
    """The clock of identity's routes, to be moved by the test; it begins now."""
    clock = identity.app.state.clock = SettableClock(system_clock())
    yield clock
    identity.app.state.clock = system_clock


@dataclass
class Account:
    client: httpx.AsyncClient
    email: str
    access: str
    refresh: str
    user: dict


class People:
    """Registers, verifies and logs in, as a front end would."""

    def __init__(self, identity: Harness, mailbox: Mailbox) -> None:
        self.identity = identity
        self.mailbox = mailbox

    async def register(self, email: str, role: str = "student", **fields) -> httpx.Response:
        body = {"email": email, "password": PASSWORD, "first_name": "Ada", "last_name": "L", "role": role}
        answer = await self.identity.client().post("/api/accounts/register/", json=body | fields)
        await self.identity.run_tasks()
        return answer

    async def join(self, email: str, role: str = "student") -> Account:
        assert (await self.register(email, role)).status_code == 201
        body = {"email": email, "verification_code": self.mailbox.code()}
        answer = await self.identity.client().post("/api/accounts/verify-email/", json=body)
        assert answer.status_code == 200, answer.text
        tokens = answer.json()["tokens"]
        return self.account(email, tokens["access"], tokens["refresh"], answer.json()["user"])

    async def login(self, email: str, password: str = PASSWORD) -> Account:
        answer = await self.identity.client().post(
            "/api/accounts/login/", json={"email": email, "password": password}
        )
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return self.account(email, body["access"], body["refresh"], body["user"])

    async def admin(self, email: str = "admin@lectern.example") -> Account:
        await create_admin(self.identity.db, email, PASSWORD, "Grace", "Hopper")
        return await self.login(email)

    def account(self, email: str, access: str, refresh: str, user: dict) -> Account:
        return Account(self.identity.client(access), email, access, refresh, user)


@pytest.fixture
def people(identity: Harness, mailbox: Mailbox) -> People:
    return People(identity, mailbox)


async def dump(identity: Harness) -> str:
    """Every column of every table as text, bytes once more as characters; without times and ids, whose digits
    look like codes."""
    lines: list[str] = []
    async with identity.db.sessions() as session:
        columns = (
            await session.execute(
                text(
                    "SELECT table_name, column_name, data_type FROM information_schema.columns"
                    " WHERE table_schema = 'identity' AND data_type NOT LIKE 'timestamp%'"
                    " AND data_type <> 'uuid'"
                )
            )
        ).all()
        assert {"users", "sessions", "refresh_tokens", "code_mails", "outbox", "throttles"} <= {
            c[0] for c in columns
        }
        for table, column, kind in columns:
            shown = [f'"{column}"::text'] + ([f"encode(\"{column}\", 'escape')"] if kind == "bytea" else [])
            for expression in shown:
                rows = await session.scalars(text(f'SELECT {expression} FROM "{table}"'))
                lines += [str(row) for row in rows]
    return "\n".join(lines)
