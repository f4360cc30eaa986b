"""What a class does at once, past the framework and many in a transaction; see shortcuts.py.

Each handler stands before the route of its name, and answers as it does.
"""

from typing import Any

from fastapi import FastAPI

from libs.common.runtime.trace import current_trace
from libs.common.web.routing import Shortcut
from services.learning.hot.group_commit import GroupCommit
from services.learning.hot.shortcuts import HotAnswer, HotHandler, HotRequest, as_shortcut
from services.learning.lessons.completion import CompleteLesson, complete_together
from services.learning.quizzes.attempts import SubmitAttempt, submit_together
from services.learning.quizzes.saves import SaveAnswer, save_together
from services.learning.quizzes.starts import StartAttempt, start_together
from services.learning.quizzes.views import show_own_attempt, show_saved


class Groups:
    """The group commits of one process."""

    def __init__(self, app: FastAPI) -> None:
        db = app.state.db
        self.completions = GroupCommit(db.direct, complete_together)
        self.starts = GroupCommit(db.session, start_together)
        self.saves = GroupCommit(db.direct, save_together)
        self.submits = GroupCommit(db.session, submit_together)


async def complete_lesson(request: HotRequest) -> HotAnswer | None:
    groups, now = _state(request)
    course, lesson = request.ids["course"], request.ids["lesson"]
    done = await groups.completions.do(CompleteLesson(request.who.user, course, lesson, now, current_trace()))
    return done and HotAnswer(done[0].model_dump_json().encode(), done[1])


async def start_attempt(request: HotRequest) -> HotAnswer | None:
    groups, now = _state(request)
    done = await groups.starts.do(StartAttempt(request.who.user, request.ids["uuid"], now, current_trace()))
    return done and HotAnswer(show_own_attempt(done[0], now).model_dump_json().encode(), done[1], 201)


async def save_answer(request: HotRequest) -> HotAnswer | None:
    groups, now = _state(request)
    if not isinstance(request.body, dict) or set(request.body) != {"answer"}:
        return None
    question, answer = request.ids["question"], request.body["answer"]
    done = await groups.saves.do(SaveAnswer(request.who.user, request.ids["uuid"], question, answer, now))
    return done and HotAnswer(show_saved(question, answer, done[0], now).model_dump_json().encode(), done[1])


async def submit_attempt(request: HotRequest) -> HotAnswer | None:
    groups, now = _state(request)
    done = await groups.submits.do(SubmitAttempt(request.ids["uuid"], request.who.user, now, current_trace()))
    return done and HotAnswer(show_own_attempt(done[0], now).model_dump_json().encode(), done[1])


def _state(request: HotRequest) -> tuple[Groups, Any]:
    """The process's groups, and the time of the request."""
    state = request.app.state
    return state.groups, state.clock()


HOT: dict[str, HotHandler] = {
    "complete_lesson": complete_lesson,
    "start_attempt": start_attempt,
    "save_answer": save_answer,
    "submit_attempt": submit_attempt,
}


def shortcuts() -> dict[str, Shortcut]:
    """The handlers by the names of their routes."""
    return {name: as_shortcut(handler) for name, handler in HOT.items()}
