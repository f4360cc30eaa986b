"""Many accounts at once, by the command of operators."""

import json

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Harness
from services.identity.admin import create_people
from services.identity.tests.conftest import PASSWORD, People

ADA = {"email": "Ada@lectern.example", "first_name": "Ada", "last_name": "Lovelace", "bio": "Counts."}
JOINED = "2026-01-05T18:00:00+00:00"


async def test_people_are_made_once_with_events_of_the_day_they_joined(identity: Harness, people: People):
    lines = [json.dumps(ADA | {"joined_at": JOINED, "time_zone": "Europe/Oslo"})]
    made = json.loads(await create_people(identity.db, PASSWORD, lines))
    assert list(made) == ["ada@lectern.example"]
    async with identity.db.sessions() as session:
        moments = await session.scalars(text("SELECT DISTINCT occurred_at FROM outbox"))
        assert [moment.isoformat() for moment in moments] == [JOINED]
    assert json.loads(await create_people(identity.db, PASSWORD, lines)) == made
    user = (await people.login("ada@lectern.example")).user
    assert (user["role"], user["is_verified"], user["profile"]["bio"]) == ("student", True, "Counts.")


@pytest.mark.parametrize(
    "change",
    [
        {"role": "admin"},
        {"email": None},
        {"surname": "x"},
        {"joined_at": "2026-01-05"},
        {"joined_at": "2999-01-01T00:00Z"},
    ],
)
async def test_a_line_that_cannot_be_understood_makes_nobody(identity: Harness, change: dict):
    before = json.dumps(ADA)
    with pytest.raises(ValueError, match=r"must|unknown"):
        await create_people(identity.db, PASSWORD, [before, json.dumps(ADA | change)])
    async with identity.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM users")) == 0
