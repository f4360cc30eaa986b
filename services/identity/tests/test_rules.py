"""Decisions of identity."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.common.runtime.roles import ROLES
from services.identity.errors import PasswordRefused, RoleNotAllowed
from services.identity.passwords import COMMON
from services.identity.rules import (
    check_password,
    check_role_change,
    device_name,
    is_staff,
    mail_due,
    may_try_code,
    name_of_address,
    newest_codes,
    password_fault,
    shows_card,
    throttle_wait,
)


@pytest.mark.parametrize("password", ["Learn-together-1", "x y z w q r", "ünïcode-päss", "a1" * 64])
def test_long_enough_and_uncommon_passwords_are_taken(password: str):
    check_password(password, COMMON, email="ada@lectern.example")


@pytest.mark.parametrize(
    "password",
    ["", "1234567", "a1" * 64 + "b", "PassWord123", "aaaaaaaaaa", "ada@lectern.example"],
)
def test_short_long_common_and_own_ones_are_not(password: str):
    with pytest.raises(PasswordRefused):
        check_password(password, COMMON, email="ada@lectern.example")


@pytest.mark.promise("password hashing")
@pytest.mark.parametrize(
    "password",
    [
        "password123",
        "1q2w3e4r5t",
        "qwertyuiop",
        "Trustno1",
        "LETMEIN1",
        "iloveyou1",
        "12345678910",
        "football",
    ],
)
def test_the_common_ones_are_refused_whatever_their_case(password: str):
    with pytest.raises(PasswordRefused, match="most common"):
        check_password(password, COMMON)


def test_the_list_holds_more_than_three_thousand_that_pass_the_other_rules():
    assert len(COMMON) >= 3000
    assert all(8 <= len(word) <= 128 and word == word.lower().strip() for word in COMMON)


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


def test_the_delay_begins_with_the_fifth_failure_and_doubles_up_to_fifteen_minutes():
    now = datetime(2026, 3, 1, tzinfo=UTC)
    waits = [throttle_wait(failures, now, now) for failures in range(18)]
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    assert throttle_wait(1_000_000, now, now) == 900
    assert throttle_wait(8, now - timedelta(seconds=5), now) == 3
    assert throttle_wait(1000, now - timedelta(minutes=15), now) == 0


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
            " Safari/537.36",
            "Chrome on Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
            " Safari/537.36 Edg/142.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
            " Version/19.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
            " Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("curl/8.14.1", "curl/8.14.1"),
        ("x" * 500 + "\0", "x" * 200),
        ("", ""),
    ],
)
def test_a_device_has_a_name_that_its_owner_knows(user_agent: str, name: str):
    assert device_name(user_agent) == name


def test_cards_of_students_need_a_sign_in():
    assert shows_card("teacher", signed_in=False)
    assert not shows_card("student", signed_in=False)
    assert shows_card("student", signed_in=True)


def test_one_mail_a_minute():
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert mail_due(None, now, 60) == now
    assert mail_due(now - timedelta(seconds=60), now, 60) == now
    assert mail_due(now - timedelta(seconds=59), now, 60) is None
    second = timedelta(seconds=1)
    assert mail_due(now - 59 * second, now, 60, 2) == now + second
    assert mail_due(now + 60 * second, now, 60, 2) == now + 120 * second
    assert mail_due(now + 61 * second, now, 60, 2) is None


@pytest.mark.parametrize(
    ("password", "email", "message"),
    [
        ("x" * 7, "", "must have 8 to 128 characters"),
        ("PassWord123", "", "is among the most common ones: choose another"),
        ("Ada@Lectern.Example", "ada@lectern.EXAMPLE", "must not be the address"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_wrong(password: str, email: str, message: str):
    for names, field in (({}, "password"), ({"field": "new_password"}, "new_password")):
        with pytest.raises(PasswordRefused) as refused:
            check_password(password, COMMON, email=email, **names)
        assert refused.value.detail == f"{field}: {message}."
        assert refused.value.errors == [{"field": field, "message": message}]


def test_a_password_is_compared_with_an_address_only_where_there_is_one():
    assert password_fault("Xxxx-xxx", ()) is None
    assert password_fault("xxxxxxxy", (), "") is None
    check_password("XXXX-xxx", ())


def test_staff_are_those_above_teachers():
    assert [role for role in ROLES if is_staff(role)] == ["moderator", "manager", "admin"]


@pytest.mark.parametrize(
    ("tries", "wrong", "may"), [(0, 0, True), (4, 9, True), (5, 0, False), (0, 10, False), (6, 11, False)]
)
def test_a_code_is_looked_at_while_it_and_its_purpose_have_tries_left(tries: int, wrong: int, may: bool):
    assert may_try_code(tries, 5, wrong, 10) is may


def test_the_newest_code_of_each_of_the_last_registrations_counts():
    codes = ["c2", "b9", "c1", "a5", "b8", "z1"]
    assert newest_codes(codes, lambda code: code[0]) == ["c2", "b9", "a5"]
    assert newest_codes([], lambda code: code) == []


def test_somebody_unknown_is_called_as_the_address_begins():
    assert name_of_address("ada@lectern.example") == "ada"
    assert name_of_address("a" * 200 + "@x") == "a" * 150
    assert name_of_address("ada") == "ada"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (Linux; x86) Firefox/130.0", "Firefox on Linux"),
        ("Mozilla/5.0 Firefox/130.0", "Firefox"),
        ("curl/8.5 (Linux)", "curl/8.5 (Linux)"),
        (" be\0at ", "beat"),
        ("XXcurlXX", "XXcurlXX"),
        ("a" * 201, "a" * 200),
        ("", ""),
    ],
)
def test_a_device_is_named_by_what_is_known_of_it(agent: str, name: str):
    assert device_name(agent) == name
