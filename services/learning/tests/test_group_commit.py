"""Requests of one moment that share a transaction: what a group does, and what it leaves to each."""

# ruff: noqa: F811

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from libs.common.data.db import Direct
from libs.common.data.outbox import record
from libs.common.testing.harness import Harness, eventually
from libs.common.tests import toy
from libs.common.tests.conftest import _toy, toy_service  # noqa: F401 fixtures
from services.learning.hot.group_commit import MOST, GroupCommit

COUNT = """
INSERT INTO counters (uuid, version, value, created_at, updated_at) VALUES (%s, 1, %s, now(), now())
"""


@dataclass(eq=False)
class Count:
    """A wish to make a counter."""

    value: int
    uuid: UUID


class Work:
    """Makes counters with their events. Leaves out the even values; 13 is an error."""

    def __init__(self) -> None:
        self.groups: list[int] = []

    async def __call__(
        self, transaction: Direct, wanted: Sequence[Count]
    ) -> dict[Count, tuple[int, set[str]]]:
        self.groups.append(len(wanted))
        done = {}
        for one in wanted:
            if one.value % 2:
                await transaction.connection.execute(COUNT, (one.uuid, one.value))
                record(transaction, toy.Counted(counter=one.uuid, value=one.value), 1)
                done[one] = (one.value * 10, {str(one.uuid)})
            if one.value == 13:
                raise ValueError("thirteen")
        return done


def counts(*values: int) -> list[Count]:
    return [Count(value, uuid4()) for value in values]


async def kept(harness: Harness) -> set[int]:
    async with harness.db.session() as session:
        return set(await session.scalars(select(toy.Counter.value)))


async def test_those_of_one_moment_share_a_transaction_and_each_gets_their_own(toy_service: Harness) -> None:
    work = Work()
    groups = GroupCommit(toy_service.db.direct, work)
    wanted = counts(*range(1, 2 * MOST + 2))
    results = await asyncio.gather(*(groups.do(one) for one in wanted))
    assert work.groups == [MOST, MOST, 1]
    for one, result in zip(wanted, results, strict=True):
        if one.value == 13 or one.value <= MOST:  # with the one that fails nobody of its group is done
            assert result is None
        elif one.value % 2:
            assert result == (one.value * 10, f"toy.events:{one.uuid}:1")
        else:
            assert result is None
    expected = {value for value in range(MOST + 1, 2 * MOST + 2) if value % 2}
    assert await kept(toy_service) == expected
    assert len(await toy_service.published()) == len(expected)


async def test_a_result_is_given_only_when_it_is_committed(toy_service: Harness) -> None:
    groups = GroupCommit(toy_service.db.direct, Work())
    (one,) = counts(7)
    assert await groups.do(one) is not None
    assert await kept(toy_service) == {7}
    assert await groups.do(one) is None, "a second row of the same key was told to be committed"
    assert len(await toy_service.published()) == 1


async def test_who_has_gone_takes_nothing_from_the_others(toy_service: Harness) -> None:
    work = Work()
    groups = GroupCommit(toy_service.db.direct, work)
    first, *others = counts(1, 3, 5)
    waiting = asyncio.ensure_future(groups.do(first))
    rest = asyncio.gather(*(groups.do(one) for one in others))
    await eventually(lambda: work.groups, interval=0)
    waiting.cancel()
    assert [result and result[0] for result in await rest] == [30, 50]
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_commit_that_fails_is_told_to_nobody(toy_service: Harness) -> None:
    class Failing(Work):
        async def __call__(
            self, transaction: Direct, wanted: Sequence[Count]
        ) -> dict[Count, tuple[int, set[str]]]:
            done = await super().__call__(transaction, wanted)
            await transaction.connection.execute(
                "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = 'disk_full'; END $$"
            )
            await transaction.connection.execute(
                "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON counters DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()"
            )
            await transaction.connection.execute(COUNT, (uuid4(), 99))
            return done

    groups = GroupCommit(toy_service.db.direct, Failing())
    assert await asyncio.gather(*(groups.do(one) for one in counts(1, 3))) == [None, None]
    assert await kept(toy_service) == set()
    assert await toy_service.published() == []
