"""Pure decisions of catalog."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from services.catalog.errors import CourseTooLarge, IncompleteTree, InvalidTransition, NothingToPublish

ENROLLED = ("enrolled", "in_progress", "completed")
"""Statuses of an enrolment whose learner is in the course; others have left it or are on the waitlist."""

STATUSES = ("draft", "published", "archived")

MOST_MODULES = 100
MOST_LESSONS = 500
"""Of one course, so that its whole state, published and draft, stays below Kafka's 1 MB."""
MOST_SLUG = 100
"""Characters."""
MOST_LEVELS = 20
"""Categories above each other."""


def slug_of(words: str) -> str:
    """Words as a path segment: ASCII letters and digits with hyphens; "" when none are left."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:80].strip("-")


def is_visible(status: str, *, edits: bool, enrolled: bool) -> bool:
    """Whether somebody sees a course: editors always, others once published, the enrolled when archived."""
    return edits or status == "published" or (status == "archived" and enrolled)


def shows_body(*, edits: bool, enrolled: bool, is_preview: bool) -> bool:
    """Whether somebody who sees the course reads this lesson's content, and not only its outline."""
    return edits or enrolled or is_preview


def check_publishable(modules: Sequence[Mapping[str, Any]]) -> None:
    """Raises NothingToPublish unless some module has a published lesson."""
    if not any(lesson["is_published"] for module in modules for lesson in module["lessons"]):
        raise NothingToPublish


def check_room(modules: int, lessons: int) -> None:
    """Check the size that a course would have. Raises CourseTooLarge."""
    if modules > MOST_MODULES or lessons > MOST_LESSONS:
        raise CourseTooLarge


def check_transition(status: str, wanted: str) -> bool:
    """Whether `unpublish` or `archive` changes anything. Raises InvalidTransition for what makes no sense."""
    if status == wanted:
        if wanted == "draft":
            raise InvalidTransition("The course is a draft already.")
        return False
    return True


def published_structure(modules: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The working structure as learners will see it: without lessons that are not to be published yet."""
    return [
        {**module, "lessons": [lesson for lesson in module["lessons"] if lesson["is_published"]]}
        for module in modules
    ]


def lesson_ids(modules: Iterable[Mapping[str, Any]]) -> list[str]:
    return [lesson["uuid"] for module in modules for lesson in module["lessons"]]


def minutes_of(modules: Iterable[Mapping[str, Any]]) -> int:
    """The minutes of all lessons: as their authors say, otherwise the length of the video."""
    lessons = [lesson for module in modules for lesson in module["lessons"]]
    return sum(
        lesson["estimated_time_minutes"]
        if lesson["estimated_time_minutes"] is not None
        else -(-(lesson["video_duration"] or 0) // 60)
        for lesson in lessons
    )


def hours_of(hours: float | None, minutes: int) -> float:
    """The duration of a course: as its authors say, otherwise the sum of its lessons."""
    return round(minutes / 60, 2) if hours is None else hours


def free_name(base: str, taken: Collection[str], most: int = MOST_SLUG) -> str:
    """The given slug, with the first free number appended if it is taken."""
    name, number = base, 1
    while name in taken:
        number += 1
        end = f"-{number}"
        name = base[: most - len(end)].rstrip("-") + end
    return name


def check_tree(
    wanted: Sequence[tuple[UUID, Sequence[UUID]]], modules: Iterable[UUID], lessons: Iterable[UUID]
) -> None:
    """Raises IncompleteTree unless `wanted` names all modules and all lessons, each once."""
    named = [lesson for _, inside in wanted for lesson in inside]
    if sorted(uuid for uuid, _ in wanted) != sorted(modules) or sorted(named) != sorted(lessons):
        raise IncompleteTree


def place(wanted: int | None, taken: Sequence[int], before: int | None = None) -> tuple[int, dict[int, int]]:
    """The position of something new, or that was at `before`; and what its neighbours' positions become.

    Without a wish it comes last. A position that is taken is vacated by pushing the neighbours on; for what
    moves down, by drawing them back to where it was.
    """
    if wanted is None:
        return max(taken, default=-1) + 1, {}
    step = -1 if before is not None and before < wanted else 1
    moved = {}
    at = wanted
    occupied = set(taken)
    while at in occupied:
        moved[at] = at + step
        at += step
    return wanted, moved


def has_cycle(start: UUID, edges: Mapping[UUID, Iterable[UUID]]) -> bool:
    """Whether following `edges` from `start` comes back to it."""
    seen: set[UUID] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node == start:
            return True
        if node not in seen:
            seen.add(node)
            waiting.extend(edges.get(node, ()))
    return False


def levels(own: UUID, above: Mapping[UUID, UUID]) -> int:
    """Levels of a tree from its root down to the deepest below `own`; without circles."""
    deepest = 0
    for leaf in {own, *above}:
        path = [leaf]
        while path[-1] in above:
            path.append(above[path[-1]])
        if own in path:
            deepest = max(deepest, len(path))
    return deepest
