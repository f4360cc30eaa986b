"""What a copy of a course's work is called, and how what names other parts names their copies."""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID


def copied_id(source: UUID, course: UUID) -> UUID:
    """The id of the copy of something in the new `course`: the same each time, in the form of a version 4."""
    digest = hashlib.sha256(b"copy\0" + source.bytes + course.bytes).digest()
    return UUID(bytes=digest[:16], version=4)


def renamed(content: Any, names: Mapping[str, str]) -> Any:
    """JSON with every id in it replaced by that of its copy."""
    if isinstance(content, dict):
        return {key: renamed(value, names) for key, value in content.items()}
    if isinstance(content, list):
        return [renamed(value, names) for value in content]
    return names.get(content, content) if isinstance(content, str) else content


def copied_policy(content: dict[str, Any], names: Mapping[str, str], course: UUID) -> dict[str, Any]:
    """A grading policy for the copy: groups with ids of their own, without items that were not copied."""

    def known(items: list[str]) -> list[str]:
        return [names[item] for item in items if item in names]

    groups = [
        {**group, "uuid": str(copied_id(UUID(group["uuid"]), course)), "items": known(group.get("items", []))}
        for group in content.get("groups", [])
    ]
    return {**content, "groups": groups, "extra_credit": known(content.get("extra_credit", []))}


def copied_rules(content: list[dict[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Completion rules for the copy, without those of something that was not copied: none could meet them."""
    stored = []
    for rule in content:
        lessons = [names[lesson] for lesson in rule.get("lessons", ()) if lesson in names]
        subjects = [rule[name] for name in ("quiz", "assignment") if name in rule]
        if ("lessons" in rule and not lessons) or any(subject not in names for subject in subjects):
            continue
        stored.append({**renamed(rule, names), **({"lessons": lessons} if lessons else {})})
    return stored or [{"kind": "all_lessons"}]
