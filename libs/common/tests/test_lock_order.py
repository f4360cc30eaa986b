"""The watch over locks: what a statement locks, and which orders of two transactions are a deadlock."""

import pytest

from libs.common.testing.harness import Harness
from libs.common.testing.locks import (
    INSERT,
    KEY_SHARE,
    NO_KEY,
    SHARE,
    UPDATE,
    Lock,
    LockOrder,
    locks_of,
    watch,
)

KEYS = {"codes": (frozenset({"users"}), frozenset()), "users": (frozenset(), frozenset({"notes"}))}


@pytest.mark.parametrize(
    ("statement", "locks"),
    [
        ("SELECT * FROM users WHERE x FOR UPDATE", [Lock("users", UPDATE)]),
        ("SELECT * FROM users \nWHERE x FOR NO KEY UPDATE", [Lock("users", NO_KEY)]),
        ("SELECT * FROM users u JOIN codes c ON true FOR UPDATE OF c", [Lock("codes", UPDATE)]),
        ("SELECT * FROM users JOIN codes ON true FOR SHARE", [Lock("users", SHARE), Lock("codes", SHARE)]),
        ("SELECT * FROM users FOR UPDATE SKIP LOCKED", [Lock("users", UPDATE, False)]),
        (
            "SELECT * FROM users WHERE x IN (SELECT y FROM codes WHERE z) FOR KEY SHARE",
            [Lock("users", KEY_SHARE)],
        ),
        ("UPDATE codes SET x = 1", [Lock("codes", NO_KEY)]),
        ("DELETE FROM users WHERE x", [Lock("users", UPDATE), Lock("notes", NO_KEY)]),
        (
            "INSERT INTO codes (x) VALUES (1) ON CONFLICT DO NOTHING",
            [Lock("codes", INSERT, False), Lock("codes", INSERT), Lock("users", KEY_SHARE)],
        ),
        (
            "INSERT INTO notes (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 2",
            [Lock("notes", INSERT, False), Lock("notes", INSERT), Lock("notes", NO_KEY)],
        ),
        ("SELECT pg_advisory_xact_lock(7)", [Lock("advisory 7", UPDATE)]),
        ("SELECT pg_try_advisory_xact_lock(hash(x, 7))", [Lock("advisory hash(x, 7)", UPDATE, False)]),
        ("SELECT * FROM users", []),
    ],
)
def test_a_statement_is_read_for_what_it_locks(statement: str, locks: list[Lock]):
    assert list(locks_of(statement, KEYS)) == locks


def found(*transactions: list[str]) -> str:
    order = LockOrder()
    for statements in transactions:
        held: dict[Lock, str] = {}
        for statement in statements:
            order.take("identity", held, statement, KEYS)
    return order.report({})


USER, CODE = "SELECT 1 FROM users FOR UPDATE", "UPDATE codes SET x = 1"


def test_two_opposite_orders_are_found_and_named_with_their_statements():
    assert found([USER, CODE], [USER, CODE]) == ""
    report = found([USER, CODE], [CODE, USER])
    assert report.startswith("identity: users → codes → users")
    assert CODE in report


def test_a_row_that_is_referred_to_and_then_locked_is_an_opposite_order_of_two_like_it():
    assert "users → users" in found(["INSERT INTO codes (x) VALUES (1)", USER])
    assert found([USER, "INSERT INTO codes (x) VALUES (1)"]) == ""


def test_what_does_not_conflict_or_does_not_wait_is_no_deadlock():
    child = "INSERT INTO codes (x) VALUES (1)"
    assert found([child, "UPDATE users SET x = 1"]) == ""  # KEY SHARE and NO KEY UPDATE go together
    assert found([USER, CODE], [CODE, USER + " SKIP LOCKED"]) == ""


def test_three_transactions_in_a_ring_are_found():
    third = "UPDATE notes SET x = 1"
    assert found([USER, CODE], [CODE, third], [third, USER]).count("holds") == 3


def test_what_an_owner_guards_takes_turns():
    other = "UPDATE notes SET x = 1"
    assert found([USER, CODE, other], [USER, other, CODE]) == ""
    assert found([USER, CODE, other], [USER, other, CODE], [other, CODE]) != ""


async def test_the_watch_sees_every_transaction_of_a_service(open_service):
    service: Harness = await open_service("identity")
    order = LockOrder()
    stop = watch(order)
    try:
        async with service.db.direct() as direct:
            await direct.connection.execute("DELETE FROM code_tries")
            await direct.connection.execute("DELETE FROM throttles")
        async with service.db.session() as session:
            raw = await session.connection()
            await raw.exec_driver_sql("DELETE FROM throttles")
        async with service.db.session() as session:
            raw = await session.connection()
            await raw.exec_driver_sql("DELETE FROM activities")
    finally:
        stop()
    edges = order.edges["identity"]
    assert [(edge.held.table, edge.wanted.table) for edge in edges] == [("code_tries", "throttles")]
