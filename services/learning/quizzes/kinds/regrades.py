"""What regrades have left in pinned content: `full_credit`, or the `earlier` content."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def has_full_credit(content: Mapping[str, Any]) -> bool:
    """Whether a regrade gave everybody all points, which a later `old_or_new` does not take."""
    earlier = content.get("earlier")
    return bool(content.get("full_credit")) or (earlier is not None and has_full_credit(earlier))


def counted_score(content: Mapping[str, Any], points: Decimal, score: Decimal | None) -> Decimal | None:
    """What counts of a question's score; None where a teacher has to read the answer first."""
    return points if has_full_credit(content) else score


def without_regrades(content: Mapping[str, Any]) -> dict[str, Any]:
    """Content as it is graded when a teacher decides on an answer."""
    return {name: value for name, value in content.items() if name not in ("full_credit", "earlier")}
