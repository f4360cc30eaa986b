"""Decisions about second factors, without I/O."""

STEP_SECONDS = 30
RECOVERY_CODES = 10
RECOVERY_LENGTH = 10
# Crockford's base 32: no letter that looks like a digit.
RECOVERY_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def normal_otp(otp: str) -> str:
    """As it is compared: without the spaces and dashes that make it readable."""
    return otp.replace(" ", "").replace("-", "").lower()


def is_totp(otp: str) -> bool:
    """Whether it is of the authenticator, and not a recovery code."""
    return len(otp) == 6 and otp.isascii() and otp.isdigit()


def steps_to_try(now: float, last_step: int) -> list[int]:
    """The step of now and its neighbours, because clocks differ; none that was used, or is older."""
    current = int(now) // STEP_SECONDS
    return [step for step in (current, current - 1, current + 1) if step > last_step]


def readable(code: str) -> str:
    """A recovery code as it is shown: `xxxxx-xxxxx`."""
    half = len(code) // 2
    return f"{code[:half]}-{code[half:]}"
