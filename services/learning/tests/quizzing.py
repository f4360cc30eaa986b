"""What tests of quizzes do over and over: start, save, submit, and questions of every kind with canaries."""

from typing import Any

import httpx

from libs.common.testing.harness import Person
from services.learning.tests.conftest import CHOICE, done

NOW = "immediately"
MATCHING: dict[str, Any] = {
    "kind": "matching",
    "text": "Which belongs to which?",
    "points": 4,
    "explanation": "canary-explanation",
    "pairs": [
        {"left": "tree", "right": "no cycle"},
        {"left": "path", "right": "no fork"},
        {"left": "forest", "right": "many trees"},
        {"left": "complete", "right": "all edges"},
    ],
}
ORDERING: dict[str, Any] = {
    "kind": "ordering",
    "text": "From small to large?",
    "points": 3,
    "explanation": "canary-explanation",
    "items": ["vertex", "edge", "triangle"],
}
ESSAY: dict[str, Any] = {
    "kind": "essay",
    "text": "Why is a tree bipartite?",
    "points": 5,
    "explanation": "canary-explanation",
}
SINGLE: dict[str, Any] = {
    "kind": "single_choice",
    "text": "Which joins?",
    "explanation": "canary-explanation",
    "options": [
        {"text": "an edge", "is_correct": True, "feedback": "canary-feedback"},
        {"text": "a hole", "feedback": "canary-feedback"},
    ],
}
SHORT = {
    "kind": "short_answer",
    "text": "What is it called?",
    "explanation": "canary-explanation",
    "accepted": ["canary-accepted"],
}
NUMERIC = {
    "kind": "numeric",
    "text": "How many?",
    "explanation": "canary-explanation",
    "value": 7319.25,
    "tolerance": 0.5,
}
EVERY_KIND = (
    SINGLE,
    CHOICE,
    {
        "kind": "true_false",
        "text": "A tree has a cycle.",
        "explanation": "canary-explanation",
        "correct": False,
    },
    SHORT,
    NUMERIC,
    MATCHING,
    ORDERING,
    ESSAY,
)


async def start(who: Person, quiz: dict[str, Any], status: int = 201) -> dict[str, Any]:
    return done(await who.client.post(f"/api/quizzes/{quiz['uuid']}/attempts/"), status)


async def save(who: Person, attempt: dict[str, Any], question: dict[str, Any], answer: Any) -> httpx.Response:
    return await who.client.put(
        f"/api/attempts/{attempt['uuid']}/answers/{question['uuid']}/", json={"answer": answer}
    )


async def submit(who: Person, attempt: dict[str, Any]) -> dict[str, Any]:
    return done(await who.client.post(f"/api/attempts/{attempt['uuid']}/submit/"))


async def grade(
    teacher: Person, attempt: dict[str, Any], question: dict[str, Any], points: float, **more: Any
) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"question": question["uuid"], "points": points, **more}
    return await teacher.client.patch(f"/api/attempts/{attempt['uuid']}/grade/", json=body, headers=headers)


async def take(who: Person, quiz: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """A whole attempt: answers in texts, by the text of the question."""
    attempt = await start(who, quiz)
    for question in attempt["questions"]:
        if question["text"] in answers:
            chosen = in_uuids(question, answers[question["text"]])
            done(await save(who, attempt, question, chosen))
    return await submit(who, attempt)


def in_uuids(question: dict[str, Any], answer: Any) -> Any:
    """An answer written in texts, in the uuids of this attempt."""
    kind = question["kind"]
    if kind in ("single_choice", "multiple_choice"):
        known = {option["text"]: option["uuid"] for option in question["options"]}
        return known[answer] if kind == "single_choice" else [known[one] for one in answer]
    if kind == "matching":
        lefts = {one["text"]: one["uuid"] for one in question["lefts"]}
        rights = {one["text"]: one["uuid"] for one in question["rights"]}
        return {lefts[left]: rights[right] for left, right in answer.items()}
    if kind == "ordering":
        known = {one["text"]: one["uuid"] for one in question["items"]}
        return [known[one] for one in answer]
    return answer


RIGHT: dict[str, Any] = {
    "Which joins?": "an edge",
    "Which are graphs?": ["a triangle", "a path"],
    "A tree has a cycle.": False,
    "What is it called?": "Canary-Accepted",
    "How many?": 7319,
    "Which belongs to which?": {
        "tree": "no cycle",
        "path": "no fork",
        "forest": "many trees",
        "complete": "all edges",
    },
    "From small to large?": ["vertex", "edge", "triangle"],
    "Why is a tree bipartite?": "Colour it by depth.",
}
