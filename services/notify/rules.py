"""Which notifications there are, and which of them are mailed."""

TYPES = (
    "enrollment", "course_update", "lesson_available", "assignment_due", "quiz_result", "grade",
    "certificate_ready", "forum_reply", "mention", "announcement", "ticket", "system",
)  # fmt: skip
MAILED = frozenset({"enrollment", "certificate_ready"})
