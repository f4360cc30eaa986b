"""Texts and scores as people see them, in quizzes, assignments and the gradebook alike."""

import unicodedata
from decimal import ROUND_HALF_UP, Decimal

SHOWN = Decimal("0.01")


def as_seen(text: str) -> str:
    """A text as people tell it from others: spaces around it and their number do not show."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def rounded(value: Decimal | None) -> float | None:
    """A score as people see it: two places, half up."""
    return None if value is None else float(value.quantize(SHOWN, ROUND_HALF_UP))
