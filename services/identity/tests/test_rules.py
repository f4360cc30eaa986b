"""Decisions of identity."""

from datetime import UTC, datetime, timedelta

import pytest

from services.identity.errors import PasswordRefused, RoleNotAllowed
from services.identity.rules import check_password, check_role_change, may_mail_again, shows_card


@pytest.mark.parametrize("password", ["Learn-together-1", "x y z w q r", "ünïcode-päss", "a1" * 64])
def test_long_enough_and_uncommon_passwords_are_taken(password: str):
    check_password(password, email="ada@lectern.example")


@pytest.mark.parametrize(
    "password",
    ["", "1234567", "a1" * 64 + "b", "password123", "PassWord123", "aaaaaaaaaa", "ada@lectern.example"],
)
def test_short_long_common_and_own_ones_are_not(password: str):
    with pytest.raises(PasswordRefused):
        check_password(password, email="ada@lectern.example")


@pytest.mark.parametrize(
    ("actor", "current", "wanted", "allowed"),
    [
        ("manager", "student", "manager", True),
        ("manager", "student", "admin", False),
        ("manager", "admin", "student", False),
        ("admin", "admin", "student", True),
    ],
)
def test_roles_change_neither_from_nor_to_above_ones_own(
    actor: str, current: str, wanted: str, allowed: bool
):
    if allowed:
        check_role_change(actor, current, wanted)
    else:
        with pytest.raises(RoleNotAllowed):
            check_role_change(actor, current, wanted)


def test_cards_of_students_need_a_sign_in():
    assert shows_card("teacher", signed_in=False)
    assert not shows_card("student", signed_in=False)
    assert shows_card("student", signed_in=True)


def test_one_mail_a_minute():
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert may_mail_again(None, now, 60)
    assert not may_mail_again(now - timedelta(seconds=59), now, 60)
    assert may_mail_again(now - timedelta(seconds=60), now, 60)
