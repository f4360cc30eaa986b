"""Question kinds as a set: each has its file and its line, and one that is not known is said to be so."""

from fractions import Fraction
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.common.events.quizzes import QuestionKind as ClosedKind
from libs.common.events.quizzes import QuestionResult, QuizGraded
from services.learning.errors import InvalidAnswer
from services.learning.quizzes import kinds
from services.learning.quizzes.kinds import KINDS, Content, QuestionKind, UnknownQuestionKind, kind_of
from services.learning.quizzes.kinds.base import NoFields
from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.quizzing import EVERY_KIND, save, start, submit

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


class Agreement(QuestionKind[NoFields]):
    """A kind that no release has."""

    name = "agreement"
    nearest = "true_false"

    def parse(self, fields: NoFields, stored: Content) -> dict[str, Any]:
        return {}

    def check(self, content: Content) -> None: ...

    def _check_answer(self, content: Content, answer: Any) -> None:
        if answer not in ("yes", "no"):
            raise InvalidAnswer("takes yes or no")

    def grade(self, content: Content, answer: Any, partial_credit: bool) -> Fraction:
        return Fraction(answer == "yes")

    def right_answer(self, content: Content) -> Any:
        return "yes"


async def test_a_new_kind_is_one_object(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "agreement", Agreement())
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, {"kind": "agreement", "text": "Shall we?", "points": 2}, TRUTH)
    attempt = await start(student, quiz)
    question = attempt["questions"][0]
    refused(await save(student, attempt, question, "maybe"), 422, "invalid_answer")
    done(await save(student, attempt, question, "yes"))
    result = await submit(student, attempt)
    assert (result["score"], result["questions"][0]["is_correct"]) == (2, True)
    read = done(await school.teacher.client.get(f"/api/attempts/{attempt['uuid']}/"))["questions"][0]
    assert (read["kind"], read["right_answer"]) == ("agreement", "yes")
    url = f"/api/quizzes/{quiz['uuid']}/statistics/"
    counted = done(await school.teacher.client.get(url))["questions"][0]
    assert counted["distribution"] == [{"answer": "yes", "count": 1, "is_right": True}]
    async with school.harness.app.state.db.session() as session:
        payload = await session.scalar(
            text("SELECT payload FROM outbox WHERE type = 'learning.quiz_graded.v1' AND key = :key"),
            {"key": attempt["uuid"]},
        )
    told = QuizGraded.model_validate_json(payload).questions[0]
    assert (told.kind, told.question_kind, told.share) == ("true_false", "agreement", 100)


def test_tests_of_quizzes_know_every_kind() -> None:
    assert {question["kind"] for question in EVERY_KIND} == KINDS.keys()
