"""Short names for what demo courses are made of: lessons of each kind, and questions of each kind."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Lesson:
    """A lesson's body; a `file` to upload, or the quiz or assignment that finishes it."""

    body: Json
    file: tuple[str, Callable[[], bytes], str] | None = None
    quiz: Json | None = None
    assignment: Json | None = None

    @property
    def title(self) -> str:
        return str(self.body["title"])


@dataclass(frozen=True)
class DemoCourse:
    """`quality` is what its learners think of it (1 to 5); `draw` how many of them choose it."""

    body: Json
    category: str
    teacher: str
    modules: dict[str, list[Lesson]]
    quality: float = 4.3
    draw: float = 1.0
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Questions for the forum, and what a good answer says."""


def _lesson(kind: str, title: str, minutes: int, **fields: Any) -> Json:
    return {"title": title, "content_type": kind, "estimated_time_minutes": minutes, **fields}


def text(title: str, minutes: int, content: str, **fields: Any) -> Lesson:
    return Lesson(_lesson("text", title, minutes, text_content=content, **fields))


def video(title: str, minutes: int, **fields: Any) -> Lesson:
    slug = "-".join("".join(char if char.isalnum() else " " for char in title.lower()).split())
    url = f"https://videos.lectern.example/{slug}.mp4"
    return Lesson(_lesson("video", title, minutes, video_url=url, video_duration=minutes * 57, **fields))


def pdf(title: str, minutes: int, content: str) -> Lesson:
    sheet = partial(page, title, content)
    return Lesson(_lesson("pdf", title, minutes), file=("handout.pdf", sheet, "application/pdf"))


def slides(title: str, minutes: int, *points: str) -> Lesson:
    sheet = partial(page, title, "\n".join(f"- {point}" for point in points), "presentation-16-9")
    return Lesson(_lesson("slides", title, minutes), file=("slides.pdf", sheet, "application/pdf"))


def interactive(title: str, minutes: int, content: str) -> Lesson:
    body = _lesson("interactive", title, minutes, description=content)
    return Lesson(body, file=("exercise.zip", partial(_packed, title, content), "application/zip"))


def _packed(title: str, content: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "index.html", f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{content}</p>"
        )
    return packed.getvalue()


def assignment(title: str, minutes: int, instructions: str, points: int = 20) -> Lesson:
    work = {"title": title, "instructions": instructions, "points": points}
    return Lesson(_lesson("assignment", title, minutes, requires_submission=True), assignment=work)


def quiz(title: str, *questions: Json, kind: str = "graded", pass_mark: int = 50) -> Lesson:
    body = {
        "title": title, "kind": kind, "pass_mark": pass_mark, "attempts_allowed": None, "scoring": "highest",
        "shuffle_answers": True, "questions": list(questions),
        "feedback": {"score": "immediately", "correctness": "immediately", "answers": "immediately"},
    }  # fmt: skip
    return Lesson(_lesson("quiz", title, 2 + 2 * len(questions)), quiz=body)


def one(question: str, right: str, *wrong: str, why: str = "", points: int = 1) -> Json:
    options = [{"text": right, "is_correct": True}, *({"text": each} for each in wrong)]
    return {
        "kind": "single_choice", "text": question, "points": points, "options": options, "explanation": why,
    }  # fmt: skip


def many(question: str, right: list[str], wrong: list[str], points: int = 2) -> Json:
    options = [{"text": each, "is_correct": True} for each in right] + [{"text": each} for each in wrong]
    return {"kind": "multiple_choice", "text": question, "points": points, "options": options}


def holds(statement: str, *, so: bool, why: str = "") -> Json:
    return {"kind": "true_false", "text": statement, "points": 1, "correct": so, "explanation": why}


def number(question: str, value: float, tolerance: float = 0, points: int = 1) -> Json:
    return {"kind": "numeric", "text": question, "points": points, "value": value, "tolerance": tolerance}


def word(question: str, *accepted: str) -> Json:
    return {"kind": "short_answer", "text": question, "points": 1, "accepted": list(accepted)}


def match(question: str, pairs: dict[str, str], points: int = 2) -> Json:
    both = [{"left": left, "right": right} for left, right in pairs.items()]
    return {"kind": "matching", "text": question, "points": points, "pairs": both}


def ordered(question: str, *items: str, points: int = 2) -> Json:
    return {"kind": "ordering", "text": question, "points": points, "items": list(items)}


def page(title: str, content: str, paper: str = "a5") -> bytes:
    """A small real PDF."""
    import typst

    source = f'#set document(title: "{title}")\n#set page(paper: "{paper}")\n#set text(lang: "en")\n'
    made: bytes = typst.compile(f"{source}= {title}\n{content}\n".encode())
    return made
