"""Question kinds as a set: each has its file and its line, and one that is not known is said to be so."""

from pathlib import Path
from typing import get_args
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.common.events.quizzes import QuestionKind as ClosedKind
from libs.common.events.quizzes import QuestionResult
from services.learning.quizzes import kinds
from services.learning.quizzes.kinds import KINDS, UnknownQuestionKind, kind_of
from services.learning.tests.conftest import TRUTH, School, refused

SHARED = {"__init__", "base", "choice", "fields", "regrades"}


def test_each_file_is_a_kind_in_the_list() -> None:
    folder = Path(kinds.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - SHARED == KINDS.keys()
    assert all(name == kind.name for name, kind in KINDS.items())


def test_readers_that_know_the_first_eight_kinds_can_read_all() -> None:
    assert {kind.nearest for kind in KINDS.values()} <= {*get_args(ClosedKind)}
    assert [name for name in get_args(ClosedKind) if KINDS[name].nearest != name] == []


def test_an_unknown_kind_fails_loudly() -> None:
    with pytest.raises(UnknownQuestionKind, match="no question kind 'riddle'; known are: single_choice"):
        kind_of("riddle")


async def test_a_question_of_an_unknown_kind_is_refused_and_a_stored_one_fails_loudly(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH)
    url = f"/api/quizzes/{quiz['uuid']}/questions/"
    answer = await school.teacher.client.post(url, json={"kind": "riddle", "text": "What am I?"})
    problem = refused(answer, 422, "invalid_input")
    assert [error["field"] for error in problem["errors"]] == ["kind"]
    assert "must be one of: single_choice" in problem["errors"][0]["message"]
    async with school.harness.app.state.db.session() as session:
        await session.execute(
            text("UPDATE questions SET kind = 'riddle' WHERE quiz = :quiz"), {"quiz": UUID(quiz["uuid"])}
        )
    refused(await school.teacher.client.get(url), 500, "internal_error")


def test_a_kind_is_an_open_string_in_events() -> None:
    told = {"question": uuid4(), "kind": "essay", "score": 1, "points": 2, "share": 50}
    assert QuestionResult.model_validate(told).question_kind == "essay", "as events of before say it"
    newer = QuestionResult.model_validate({**told, "question_kind": "riddle"})
    assert (newer.kind, newer.question_kind) == ("essay", "riddle")
    assert QuestionResult.model_validate_json(newer.model_dump_json()) == newer
