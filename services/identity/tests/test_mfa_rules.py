"""Codes as they are typed, compared and shown."""

import pytest

from services.identity.mfa import rules


@pytest.mark.parametrize(
    ("typed", "compared"),
    [("123 456", "123456"), ("ABCDE-fghjk", "abcdefghjk"), ("ab-cd ef-g", "abcdefg"), ("xX-xX", "xxxx")],
)
def test_spaces_dashes_and_case_do_not_count(typed: str, compared: str):
    assert rules.normal_otp(typed) == compared


def test_a_recovery_code_is_shown_in_two_halves():
    assert rules.readable("abcdefghjk") == "abcde-fghjk"
    assert rules.normal_otp(rules.readable("abcdefghjk")) == "abcdefghjk"


@pytest.mark.parametrize(
    ("otp", "is_one"),
    [("123456", True), ("12345", False), ("1234567", False), ("12345a", False), ("١٢٣٤٥٦", False)],
)
def test_six_digits_are_of_the_authenticator(otp: str, is_one: bool):
    assert rules.is_totp(otp) is is_one


def test_a_step_is_tried_once_and_none_before_it():
    now = 1_000_000 * rules.STEP_SECONDS + 29.9
    assert rules.steps_to_try(now, 0) == [1_000_000, 999_999, 1_000_001]
    assert rules.steps_to_try(now, 999_999) == [1_000_000, 1_000_001]
    assert rules.steps_to_try(now, 1_000_000) == [1_000_001]
    assert rules.steps_to_try(now, 1_000_001) == []
