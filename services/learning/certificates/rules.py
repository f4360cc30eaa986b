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


def is_readable(color: str) -> bool:
    """Whether text in this colour (#rrggbb) stands out from white: a contrast of 4.5 (WCAG 2, 1.4.3)."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5


def is_number(text: str) -> bool:
    return bool(NUMBER.match(text))
