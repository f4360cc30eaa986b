"""Pure decisions about certificates."""

import re
import secrets
from datetime import datetime

# Without 0 O, 1 I L: a number survives being read aloud.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
NUMBER = re.compile(r"CERT-\d{4}-[2-9A-HJKMNP-Z]{6}\Z")


def new_number(completed_at: datetime) -> str:
    """A random number of that year: `CERT-YYYY-XXXXXX`."""
    return f"CERT-{completed_at.year:04d}-{''.join(secrets.choice(ALPHABET) for _ in range(6))}"


def is_number(text: str) -> bool:
    return bool(NUMBER.match(text))
