"""Pure decisions about quizzes: what a question must hold, what an answer may be, what it scores.

`content` of a question, by kind: `options: [{uuid, text, is_correct, feedback}]`, `correct`, `accepted`,
`value` and `tolerance` as decimal strings, `pairs: [{left, right}]` or `items` of `{uuid, text}` in the right
order; nothing for an essay. An attempt pins it with `order`, what the learner is shown of items or rights.
After a regrade it may have `full_credit`, or the `earlier` content; `removed` are uuids of what is no longer
there, `added` those of what came later: pages that are open know the one and not the other. Scores are exact
fractions until stored.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from statistics import StatisticsError, correlation
from typing import Any

from services.learning.errors import InvalidAnswer, InvalidQuestion
from services.learning.rules import SHOWN, as_seen

CHOICE = frozenset({"single_choice", "multiple_choice"})
PLACED = frozenset({"matching", "ordering"})
KINDS = (
    "single_choice",
    "multiple_choice",
    "true_false",
    "short_answer",
    "numeric",
    "matching",
    "ordering",
    "essay",
)
LONGEST_ANSWER = 2_000
LONGEST_ESSAY = 200_000
"""As a text that is handed in for an assignment."""
LARGEST_NUMBER = 10**30
LARGEST_INTEGER = 2**53 - 1
"""What every client can hold exactly; larger numbers are floats."""
STORED = Decimal("1e-10")

Content = Mapping[str, Any]


def check_question(kind: str, content: Content) -> None:
    """Raises InvalidQuestion where the question could not be answered rightly."""
    if kind in CHOICE:
        options: Sequence[Content] = content.get("options") or ()
        _check_distinct("options", [option["text"] for option in options])
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
    elif kind == "matching":
        pairs: Sequence[Content] = content.get("pairs") or ()
        if len(pairs) < 2:
            raise InvalidQuestion("pairs", "at least two are needed")
        for side in ("left", "right"):
            _check_distinct("pairs", [pair[side]["text"] for pair in pairs])
    elif kind == "ordering":
        items: Sequence[Content] = content.get("items") or ()
        if len(items) < 2:
            raise InvalidQuestion("items", "at least two are needed")
        _check_distinct("items", [item["text"] for item in items])
    elif kind != "essay":
        raise InvalidQuestion("kind", f"must be one of: {', '.join(KINDS)}")


def _check_distinct(field: str, texts: Sequence[str]) -> None:
    """Raises InvalidQuestion where people could not tell two of them apart."""
    seen: set[str] = set()
    for text in texts:
        if as_seen(text) in seen:
            raise InvalidQuestion(field, f"two of them read {as_seen(text)[:100]!r}")
        seen.add(as_seen(text))


def check_answer(kind: str, content: Content, answer: Any) -> None:
    """Raises InvalidAnswer where the answer has not the shape of the question. None takes an answer back.

    What a regrade has taken out of the question may be named still: it counts for nothing.
    """
    if answer is None:
        return
    removed = set(content.get("removed", ()))
    if kind in CHOICE:
        known = {option["uuid"] for option in content["options"]} | removed
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
    elif kind in ("short_answer", "essay"):
        longest = LONGEST_ESSAY if kind == "essay" else LONGEST_ANSWER
        if not isinstance(answer, str) or not _is_storable(answer, longest):
            raise InvalidAnswer(f"takes a text of at most {longest} characters")
    elif kind == "matching":
        lefts = {pair["left"]["uuid"] for pair in content["pairs"]}
        rights = {pair["right"]["uuid"] for pair in content["pairs"]}
        if not isinstance(answer, dict) or not all(isinstance(right, str) for right in answer.values()):
            raise InvalidAnswer("takes an object of uuids, left to right")
        if (answer.keys() - lefts | set(answer.values()) - rights) - removed:
            raise InvalidAnswer("names a side that the question does not have")
    elif kind == "ordering":
        items = [item["uuid"] for item in content["items"]]
        if not isinstance(answer, list) or not all(isinstance(one, str) for one in answer):
            raise InvalidAnswer("takes a list of uuids")
        missing = set(items) - set(answer) - set(content.get("added", ()))
        if missing or set(answer) - set(items) - removed or len(set(answer)) != len(answer):
            raise InvalidAnswer("takes every item once")
    elif kind == "numeric":
        number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
        largest = LARGEST_INTEGER if isinstance(answer, int) else LARGEST_NUMBER
        if not number or not abs(answer) <= largest:
            raise InvalidAnswer("takes a number: an integer of at most 2^53 - 1, or a float of at most 1e30")


def share(kind: str, content: Content, answer: Any, partial_credit: bool) -> Fraction:
    """The right part of an answer, 0 to 1. An essay's is 0 here: people read it."""
    if has_full_credit(content):
        return Fraction(1)
    if (earlier := content.get("earlier")) is not None:
        now = {name: value for name, value in content.items() if name != "earlier"}
        return max(
            share(kind, now, answer, partial_credit),
            share(kind, earlier, answer, earlier.get("partial_credit", partial_credit)),
        )
    if answer is None:
        return Fraction(0)
    if kind == "matching":
        return _share_of_pairs(content["pairs"], answer)
    if kind == "ordering":
        return _share_in_place(content["items"], answer)
    if kind == "multiple_choice":
        right = {option["uuid"] for option in content["options"] if option["is_correct"]}
        chosen = set(answer).intersection(option["uuid"] for option in content["options"])
        if not partial_credit:
            return Fraction(chosen == right)
        earned = Fraction(len(chosen & right) - len(chosen - right), len(right))
        return max(earned, Fraction(0))
    return Fraction(_is_right(kind, content, answer))


def _share_of_pairs(pairs: Sequence[Content], answer: Mapping[str, str]) -> Fraction:
    """Rights of the same text, which older questions may have, can stand for each other."""
    texts = {pair["right"]["uuid"]: as_seen(pair["right"]["text"]) for pair in pairs}
    wanted = {pair["left"]["uuid"]: as_seen(pair["right"]["text"]) for pair in pairs}
    return Fraction(sum(texts.get(answer.get(left, "")) == text for left, text in wanted.items()), len(pairs))


def _share_in_place(items: Sequence[Content], answer: Sequence[str]) -> Fraction:
    """Places are those among what the learner had and what is still there.

    Items of the same text, which older questions may have, can stand for each other.
    """
    texts = {item["uuid"]: as_seen(item["text"]) for item in items}
    given = [texts[one] for one in answer if one in texts]
    wanted = [texts[item["uuid"]] for item in items if item["uuid"] in answer]
    return Fraction(sum(one == other for one, other in zip(given, wanted, strict=False)), len(items))


def _is_right(kind: str, content: Content, answer: Any) -> bool:
    if kind == "essay":
        return False
    if kind == "single_choice":
        return any(option["uuid"] == answer and option["is_correct"] for option in content["options"])
    if kind == "true_false":
        return bool(content["correct"] == answer)
    if kind == "short_answer":
        return folded(answer) in {folded(text) for text in content["accepted"]}
    difference = Fraction(str(answer)) - Fraction(content["value"])  # exact, however far apart
    return abs(difference) <= Fraction(content.get("tolerance") or 0)


def folded(text: str) -> str:
    """What counts of a short answer: NFKC, case folded, trimmed, spaces collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shown_answer(kind: str, answer: Any) -> Any:
    """An answer as it was saved: a large float comes back from JSONB as an integer that few clients hold."""
    return float(answer) if kind == "numeric" and abs(answer) > LARGEST_INTEGER else answer


def right_answer(kind: str, content: Content) -> Any:
    """What would have been right, in the shape of an answer; all accepted texts; None for an essay."""
    if kind == "essay":
        return None
    if kind == "matching":
        return {pair["left"]["uuid"]: pair["right"]["uuid"] for pair in content["pairs"]}
    if kind == "ordering":
        return [item["uuid"] for item in content["items"]]
    if kind in CHOICE:
        right = [option["uuid"] for option in content["options"] if option["is_correct"]]
        return right if kind == "multiple_choice" else right[0]
    if kind == "true_false":
        return content["correct"]
    return content["accepted"] if kind == "short_answer" else float(content["value"])


def stored(value: Fraction) -> Decimal:
    """A score as its column keeps it."""
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(STORED, ROUND_HALF_UP)


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
    """What is shown decides: 66.666… is shown as 66.67, and passes a mark of 66.67."""
    return percentage is not None and percentage.quantize(SHOWN, ROUND_HALF_UP) >= pass_mark


def attempt_deadline(
    started_at: datetime, limit: int | None, closes_at: datetime | None, extra: int = 0
) -> datetime | None:
    """The end of the time limit with its `extra` seconds or of the window, whichever comes first."""
    ends = [closes_at] if closes_at else []
    if limit is not None:
        ends.append(started_at + timedelta(seconds=limit + extra))
    return min(ends, default=None)


def attempts_allowed(allowed: int | None, extra: int) -> int | None:
    """None: any number."""
    return None if allowed is None else allowed + extra


def awaits_grading(kind: str, content: Content, answer: Any, score: Decimal | None) -> bool:
    """Whether a teacher has to read the answer; one that was left empty is worth nothing."""
    if kind != "essay" or score is not None or has_full_credit(content):
        return False
    return bool(answer and answer.strip())


def has_full_credit(content: Content) -> bool:
    """Whether a regrade gave everybody all points, which a later `old_or_new` does not take."""
    earlier = content.get("earlier")
    return bool(content.get("full_credit")) or (earlier is not None and has_full_credit(earlier))


def counted(content: Content, points: Decimal, score: Decimal | None) -> Decimal | None:
    """What counts of a question's score; None where a teacher has to read the answer first."""
    return points if has_full_credit(content) else score


def without_regrades(content: Content) -> dict[str, Any]:
    """Content as it is graded when a teacher decides on an answer."""
    return {name: value for name, value in content.items() if name not in ("full_credit", "earlier")}


def in_order(kind: str, content: Content, shuffle: Callable[[list[Any]], list[Any]], mixed: bool) -> Content:
    """Content as an attempt pins it. The right order of items and pairs is never what is shown."""
    if kind in CHOICE and mixed:
        return {**content, "options": shuffle(content["options"])}
    if kind in PLACED:
        return {**content, "order": shuffle(_placeable(kind, content))}
    return content


def regraded(
    kind: str, pinned: Content, current: Content, mode: str, shuffle: Callable[[list[Any]], list[Any]]
) -> Content:
    """Pinned content that grades by the question as it is now, shown in the order in which it was, and what
    is new in any order.

    `full_credit` is for everybody; `old_or_new` keeps the better of both keys; `new_only` forgets the old.
    """
    if mode == "full_credit":
        return {**pinned, "full_credit": True}
    merged = {name: value for name, value in current.items() if name != "partial_credit"}
    if kind in CHOICE:
        places = {option["uuid"]: place for place, option in enumerate(pinned["options"])}
        merged["options"] = sorted(current["options"], key=lambda o: places.get(o["uuid"], len(places)))
    if kind in PLACED:
        known = _placeable(kind, current)
        kept = [uuid for uuid in pinned["order"] if uuid in known]
        merged["order"] = kept + shuffle([uuid for uuid in known if uuid not in kept])
    before, after = _uuids(kind, pinned), _uuids(kind, current)
    if removed := (before | set(pinned.get("removed", ()))) - after:
        merged["removed"] = sorted(removed)
    if added := after & (after - before | set(pinned.get("added", ()))):
        merged["added"] = sorted(added)
    if mode == "old_or_new":
        merged["earlier"] = pinned
    return merged


def _uuids(kind: str, content: Content) -> set[str]:
    """What an answer may name."""
    if kind == "matching":
        return {pair[side]["uuid"] for pair in content["pairs"] for side in ("left", "right")}
    if kind in CHOICE:
        return {option["uuid"] for option in content["options"]}
    return {item["uuid"] for item in content["items"]} if kind == "ordering" else set()


def _placeable(kind: str, content: Content) -> list[str]:
    """What a learner puts in its place: rights of pairs, or items."""
    if kind == "matching":
        return [pair["right"]["uuid"] for pair in content["pairs"]]
    return [item["uuid"] for item in content["items"]]


def discrimination(points: Sequence[float], rest: Sequence[float]) -> float | None:
    """How well a question tells strong attempts from weak ones: its correlation with the rest of the attempt.

    None below three attempts, or where all are alike.
    """
    if len(points) < 3:
        return None
    try:
        return round(correlation(points, rest), 4)
    except StatisticsError:
        return None


def _is_storable(text: str, longest: int) -> bool:
    if len(text) > longest or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
