"""Pure decisions about quizzes: what a question must hold, what an answer may be, what it scores.

`content` of a question, by kind: `options: [{uuid, text, is_correct, feedback}]`, `correct`, `accepted`, or
`value` and `tolerance` as decimal strings. Scores are exact fractions until they are stored.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import isfinite
from typing import Any

from services.learning.errors import InvalidAnswer, InvalidQuestion

GRACE = timedelta(seconds=5)
CHOICE = frozenset({"single_choice", "multiple_choice"})
KINDS = ("single_choice", "multiple_choice", "true_false", "short_answer", "numeric")
LONGEST_ANSWER = 2_000
LARGEST_NUMBER = 10**30
STORED = Decimal("1e-10")
SHOWN = Decimal("0.01")

Content = Mapping[str, Any]


def check_question(kind: str, content: Content) -> None:
    """Raises InvalidQuestion where the question could not be answered rightly."""
    if kind in CHOICE:
        options: Sequence[Content] = content.get("options") or ()
        right = sum(1 for option in options if option["is_correct"])
        if len(options) < 2:
            raise InvalidQuestion("options", "at least two are needed")
        if kind == "single_choice" and right != 1:
            raise InvalidQuestion("options", "exactly one must be correct")
        if right == 0:
            raise InvalidQuestion("options", "at least one must be correct")
        if len({option["uuid"] for option in options}) != len(options):
            raise InvalidQuestion("options", "each needs a uuid of its own")
    elif kind == "true_false":
        if not isinstance(content.get("correct"), bool):
            raise InvalidQuestion("correct", "true or false is needed")
    elif kind == "short_answer":
        if not content.get("accepted"):
            raise InvalidQuestion("accepted", "at least one accepted text is needed")
    elif kind == "numeric":
        if content.get("value") is None:
            raise InvalidQuestion("value", "a number is needed")
    else:
        raise InvalidQuestion("kind", f"must be one of: {', '.join(KINDS)}")


def check_answer(kind: str, content: Content, answer: Any) -> None:
    """Raises InvalidAnswer where the answer has not the shape of the question. None takes an answer back."""
    if answer is None:
        return
    if kind in CHOICE:
        known = {option["uuid"] for option in content["options"]}
        chosen = answer if kind == "multiple_choice" else [answer]
        if not isinstance(chosen, list) or not all(isinstance(one, str) for one in chosen):
            raise InvalidAnswer("takes a list of uuids" if kind == "multiple_choice" else "takes a uuid")
        if not known.issuperset(chosen):
            raise InvalidAnswer("names an option that the question does not have")
        if len(set(chosen)) != len(chosen):
            raise InvalidAnswer("names an option twice")
    elif kind == "true_false":
        if not isinstance(answer, bool):
            raise InvalidAnswer("takes true or false")
    elif kind == "short_answer":
        if not isinstance(answer, str) or not _is_storable(answer):
            raise InvalidAnswer(f"takes a text of at most {LONGEST_ANSWER} characters")
    elif kind == "numeric":
        number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
        if not number or abs(answer) > LARGEST_NUMBER or not isfinite(answer):
            raise InvalidAnswer("takes a number")


def share(kind: str, content: Content, answer: Any, partial_credit: bool) -> Fraction:
    """The right part of an answer, 0 to 1."""
    if answer is None:
        return Fraction(0)
    if kind == "multiple_choice":
        right = {option["uuid"] for option in content["options"] if option["is_correct"]}
        chosen = set(answer)
        if not partial_credit:
            return Fraction(chosen == right)
        earned = Fraction(len(chosen & right) - len(chosen - right), len(right))
        return max(earned, Fraction(0))
    return Fraction(_is_right(kind, content, answer))


def _is_right(kind: str, content: Content, answer: Any) -> bool:
    if kind == "single_choice":
        return any(option["uuid"] == answer and option["is_correct"] for option in content["options"])
    if kind == "true_false":
        return bool(content["correct"] == answer)
    if kind == "short_answer":
        return folded(answer) in {folded(text) for text in content["accepted"]}
    difference = Decimal(str(answer)) - Decimal(content["value"])
    return abs(difference) <= Decimal(content.get("tolerance") or 0)


def folded(text: str) -> str:
    """What counts of a short answer: NFKC, case folded, trimmed, spaces collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def right_answer(kind: str, content: Content) -> Any:
    """What would have been right, in the shape of an answer (short answers: all accepted texts)."""
    if kind in CHOICE:
        right = [option["uuid"] for option in content["options"] if option["is_correct"]]
        return right if kind == "multiple_choice" else right[0]
    if kind == "true_false":
        return content["correct"]
    return content["accepted"] if kind == "short_answer" else float(content["value"])


def stored(value: Fraction) -> Decimal:
    """A score as its column keeps it."""
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(STORED, ROUND_HALF_UP)


def shown(value: Decimal | None) -> float | None:
    """A score as people see it: two places, half up."""
    return None if value is None else float(value.quantize(SHOWN, ROUND_HALF_UP))


def standing(scoring: str, percentages: Sequence[Decimal]) -> Decimal | None:
    """A learner's result in a quiz from those of their graded attempts, oldest first."""
    if not percentages:
        return None
    if scoring == "first":
        return percentages[0]
    if scoring == "latest":
        return percentages[-1]
    if scoring == "average":
        return sum(percentages, Decimal(0)) / len(percentages)
    return max(percentages)


def is_passing(percentage: Decimal | None, pass_mark: Decimal) -> bool:
    return percentage is not None and percentage >= pass_mark


def attempt_deadline(now: datetime, limit: int | None, closes_at: datetime | None) -> datetime | None:
    """The end of the time limit or of the window, whichever comes first."""
    ends = [closes_at] if closes_at else []
    if limit is not None:
        ends.append(now + timedelta(seconds=limit))
    return min(ends, default=None)


def is_over(deadline: datetime | None, now: datetime) -> bool:
    """Whether a save or a submit comes too late to count."""
    return deadline is not None and now > deadline + GRACE


def is_visible(when: str, closes_at: datetime | None, now: datetime) -> bool:
    """Whether the feedback policy shows something of a handed-in attempt by now."""
    if when == "after_close":
        return closes_at is not None and now >= closes_at
    return when == "immediately"


def _is_storable(text: str) -> bool:
    if len(text) > LONGEST_ANSWER or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
