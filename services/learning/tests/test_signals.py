"""What folders tell those above them: no process lacks receivers, and a completion loads grades once."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from services.learning import signals
from services.learning.tests.conftest import TRUTH, School, done
from services.learning.tests.quizzing import save, start, submit

CONNECTED = """
from services.learning import signals
for signal in (signals.learner_enrolled, signals.course_completed, signals.final_score_changed):
    assert signal.receivers, signal.name
"""


async def test_a_signal_that_nobody_receives_raises() -> None:
    heard: list[int] = []
    signal = signals.Signal[[int]]("counted")
    with pytest.raises(RuntimeError, match="nobody receives counted"):
        await signal.send(1)

    @signal.connect
    async def hear(number: int) -> None:
        heard.append(number)

    await signal.send(2)
    assert heard == [2]


@pytest.mark.parametrize("process", ["app", "worker", "tasks"])
def test_every_process_has_the_receivers(process: str) -> None:
    code = f"import services.learning.{process}\n{CONNECTED}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@contextmanager
def statements(school: School) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)

    engine = school.harness.app.state.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("rule", [{"kind": "minimum_score", "score": 50}, {"kind": "all_lessons"}])
async def test_a_completion_loads_grades_once(school: School, rule: dict[str, Any]) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    first, second = school.lessons(course)
    quiz = await school.quiz(course, TRUTH)
    attempt = await start(student, quiz)
    done(await save(student, attempt, attempt["questions"][0], False))
    await submit(student, attempt)
    url = f"/api/courses/{course}/completion-rules/"
    done(await school.teacher.client.put(url, json={"rules": [rule, {"kind": "all_lessons"}]}))
    await school.complete(student, course, first)
    with statements(school) as seen:
        assert (await school.complete(student, course, second))["course_completed"] is True
    assert len([each for each in seen if "FROM grade_marks" in each]) == 1


async def test_a_quiz_that_completes_a_lesson_looks_at_the_course_once(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    lesson, _ = school.lessons(course)
    quiz = await school.quiz(course, TRUTH, lesson=str(lesson))
    url = f"/api/courses/{course}/completion-rules/"
    rules = [{"kind": "minimum_score", "score": 50}, {"kind": "all_lessons"}]
    done(await school.teacher.client.put(url, json={"rules": rules}))
    attempt = await start(student, quiz)
    done(await save(student, attempt, attempt["questions"][0], False))
    with statements(school) as seen:
        assert (await submit(student, attempt))["passed"] is True
    assert len([each for each in seen if "FROM grade_marks" in each]) == 1
