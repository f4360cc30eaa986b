"""Decisions of forum: who may do what, and whom a text mentions."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

DiscussionType = Literal["question", "discussion", "announcement"]
DISCUSSION_TYPES: tuple[DiscussionType, ...] = ("question", "discussion", "announcement")
LEARNING = ("enrolled", "in_progress", "completed")
MOST_MENTIONS = 20

_MENTION = re.compile(r"(?<![\w@/.+-])@(\w[\w.-]{0,79})")
_SEPARATORS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody is to a forum."""

    is_staff: bool
    is_instructor: bool
    is_member: bool

    @property
    def may_enter(self) -> bool:
        return self.is_staff or self.is_instructor or self.is_member

    @property
    def may_moderate(self) -> bool:
        """Pin, lock, move, delete and decide about flags."""
        return self.is_staff or self.is_instructor


def standing(
    *, staff: bool, platform: bool, known: bool, instructor: bool, enrollment: str | None
) -> Standing:
    """A platform forum is open to all; a course's to its learners and instructors; both to staff.

    `known` is false for a course that is gone: only staff still enter its forum.
    """
    return Standing(
        is_staff=staff,
        is_instructor=known and instructor,
        is_member=platform or (known and enrollment in LEARNING),
    )


def may_post(kind: DiscussionType, who: Standing) -> bool:
    """Announcements come from staff and instructors."""
    return kind != "announcement" or who.may_moderate


def may_write(is_locked: bool, who: Standing) -> bool:
    """A locked discussion takes no reply, edit, deletion or vote but from those who may unlock it."""
    return not is_locked or who.may_moderate


def folded(name: str) -> str:
    """A name as mentions compare it: without case, spaces and punctuation."""
    return _SEPARATORS.sub("", name).lower()


def mentioned(content: str) -> list[str]:
    """The folded names behind `@` in a text, each once, in order; addresses of mail are none."""
    found = dict.fromkeys(folded(match) for match in _MENTION.findall(content))
    return [name for name in found if name][:MOST_MENTIONS]


def without_mentions(content: str, names: Collection[str]) -> str:
    """The text with `@[erased]` in place of every mention of these folded names."""

    def redacted(match: re.Match[str]) -> str:
        word = match[1].rstrip(".-")
        return f"@[erased]{match[1][len(word) :]}" if folded(word) in names else match[0]

    return _MENTION.sub(redacted, content)


def mentions_of(names: Sequence[str], people: Iterable[tuple[UUID, str, str]]) -> list[UUID]:
    """Whom `names` mean among `people` (id, folded full name, folded first name), each once.

    The full name (`@ada_lovelace`) counts for everybody who has it; a first name alone only when exactly one
    person has it.
    """
    by_full: dict[str, list[UUID]] = defaultdict(list)
    by_first: dict[str, list[UUID]] = defaultdict(list)
    for uuid, full, first in people:
        by_full[full].append(uuid)
        by_first[first].append(uuid)
    found: dict[UUID, None] = {}
    for name in names:
        firsts = by_first.get(name, [])
        found.update(dict.fromkeys(by_full.get(name) or (firsts if len(firsts) == 1 else ())))
    return list(found)
