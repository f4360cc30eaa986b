"""The content of the demo course, as bodies of the public API (api.md §3 and §4)."""

from typing import Any

CATEGORY: dict[str, Any] = {"name": "Study skills", "slug": "study-skills"}
TAGS = ["learning", "memory", "habits"]
COURSE: dict[str, Any] = {
    "title": "Learning how to learn",
    "short_description": "How memory works, and what to do about it.",
    "description": (
        "Why rereading feels good and teaches little, what to do instead, and how to build a habit. "
        "Five short lessons: a video, a text, a handout, a quiz and an assignment."
    ),
    "learning_outcomes": "Explain why recall beats rereading\nPlan spaced repetition\nKeep a study habit",
    "prerequisites": "None.",
    "level": "beginner",
    "language": "en",
    "duration_hours": 2,
}
_QUIZ: dict[str, Any] = {
    "title": "What helps memory?",
    "description": "Two questions on the first module.",
    "kind": "graded",
    "pass_mark": 50,
    "attempts_allowed": None,
    "scoring": "highest",
    "feedback": {"score": "immediately", "correctness": "immediately", "answers": "immediately"},
    "questions": [
        {
            "kind": "single_choice",
            "text": "Which of these strengthens memory most?",
            "points": 2,
            "explanation": "Recalling something rebuilds the way to it.",
            "options": [
                {"text": "Rereading the chapter", "is_correct": False},
                {"text": "Recalling it without the book", "is_correct": True},
                {"text": "Underlining", "is_correct": False},
            ],
        },
        {
            "kind": "true_false",
            "text": "Spacing repetitions over days works better than one long session.",
            "points": 1,
            "explanation": "Forgetting a little in between makes each recall count.",
            "correct": True,
        },
    ],
}
_ASSIGNMENT: dict[str, Any] = {
    "title": "My plan for four weeks",
    "instructions": "Write half a page: what you will learn, when, and how you will test yourself.",
    "points": 10,
}
MODULES: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "How memory works",
        [
            {
                "title": "Two systems",
                "content_type": "video",
                "video_url": "https://videos.lectern.example/two-systems.mp4",
                "video_duration": 320,
                "estimated_time_minutes": 6,
                "is_preview": True,
            },
            {
                "title": "Recall beats rereading",
                "content_type": "text",
                "text_content": "Close the book and write down what you remember. **That** is studying.",
                "estimated_time_minutes": 8,
            },
            {
                "title": "Handout: spaced repetition",
                "content_type": "pdf",
                "estimated_time_minutes": 5,
            },
        ],
    ),
    (
        "Making it a habit",
        [
            {
                "title": "Check yourself",
                "content_type": "quiz",
                "estimated_time_minutes": 5,
                "quiz": _QUIZ,
            },
            {
                "title": "Plan your month",
                "content_type": "assignment",
                "estimated_time_minutes": 30,
                "requires_submission": True,
                "assignment": _ASSIGNMENT,
            },
        ],
    ),
]

_HANDOUT = """
#set document(title: "Spaced repetition")
#set text(lang: "en")
= Spaced repetition
Look again after one day, three days, a week, three weeks. \\
Each time, recall first and check afterwards.
"""


def handout() -> bytes:
    """A small real PDF for the upload."""
    import typst

    pdf: bytes = typst.compile(_HANDOUT.encode())
    return pdf
