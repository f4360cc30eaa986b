"""Events of learning about quizzes: attempts, quizzes, extensions, question banks.

Autosaved answers are rows without a version and publish nothing.
"""

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import model_validator

from libs.common.events.base import Event, Payload
from libs.common.events.fields import Count, Grade, Instant, OpenName, Percentage, open_name

QuizKind = Literal["practice", "graded", "final", "survey"]
QuestionKind = Literal[
    "single_choice",
    "multiple_choice",
    "true_false",
    "short_answer",
    "numeric",
    "matching",
    "ordering",
    "essay",
]
Scoring = Literal["highest", "latest", "average", "first"]


class AttemptFact(Event):
    """What every fact of an attempt at a quiz says; `number` counts the learner's attempts from 1."""

    topic = "learning.events"
    key_field = "attempt"

    attempt: UUID
    number: Count
    quiz: UUID
    kind: QuizKind
    title: str
    course: UUID
    lesson: UUID | None
    enrollment: UUID
    student: UUID


class QuizStarted(AttemptFact):
    """Trigger: a learner starts an attempt; questions and order are pinned. Key: attempt.
    Consumers: analytics."""

    type = "learning.quiz_started.v1"

    deadline: Instant | None
    local_date: date


class QuizSubmitted(AttemptFact):
    """Trigger: an attempt is handed in, by its learner or by the deadline. Key: attempt.
    Consumers: analytics."""

    type = "learning.quiz_submitted.v1"

    by_deadline: bool
    seconds_taken: Count
    local_date: date


class QuizDeadlineMoved(AttemptFact):
    """Trigger: the learner's extension, or another close of the quiz, moves the deadline of an attempt under
    way. Key: attempt. Consumers: analytics."""

    type = "learning.quiz_deadline_moved.v1"

    deadline: Instant | None
    actor: UUID | None


class QuizAnswerGraded(AttemptFact):
    """Trigger: a teacher gives points for one answer, or its question is regraded while others still wait.
    The attempt as a whole is `quiz_graded`. Key: attempt. Consumers: analytics."""

    type = "learning.quiz_answer_graded.v1"

    question: UUID
    score: Grade
    points: Grade
    is_regrade: bool
    actor: UUID


class QuestionResult(Payload):
    """How one question of an attempt went; `share` is the right part of it, 0 to 100.

    `question_kind` is open: readers take one that they do not know as any other. `kind` names the nearest of
    the first eight.
    """

    question: UUID
    kind: QuestionKind
    score: Grade
    points: Grade
    share: Percentage
    question_kind: OpenName = ""

    _named = model_validator(mode="before")(open_name("question_kind", "kind"))


class QuizGraded(AttemptFact):
    """Trigger: an attempt is graded whole, at once, by hand or anew (`is_regrade`), or its learner may see
    the score by now, or no longer: the last one counts.
    A survey has neither `percentage` nor `passed`. `score_visible`: the learner may see the score by now.
    Key: attempt. Consumers: analytics, notify."""

    type = "learning.quiz_graded.v1"

    score: Grade
    max_score: Grade
    percentage: Percentage | None
    passed: bool | None
    is_regrade: bool
    score_visible: bool
    questions: tuple[QuestionResult, ...]


class QuizFact(Event):
    """What every fact of a quiz says, as it stands afterwards; `pass_mark` is a percentage."""

    topic = "learning.events"
    key_field = "quiz"

    quiz: UUID
    course: UUID
    lesson: UUID | None
    title: str
    kind: QuizKind
    scoring: Scoring
    pass_mark: Percentage
    question_count: Count
    max_score: Grade
    is_published: bool
    opens_at: Instant | None
    closes_at: Instant | None
    actor: UUID | None


class QuizCreated(QuizFact):
    """Trigger: a teacher makes a quiz. Key: quiz. Consumers: analytics."""

    type = "learning.quiz_created.v1"


class QuizChanged(QuizFact):
    """Trigger: a quiz's settings or its questions change. Key: quiz. Consumers: analytics."""

    type = "learning.quiz_changed.v1"


class QuizPublished(QuizFact):
    """Trigger: a quiz is opened to learners. Key: quiz. Consumers: analytics."""

    type = "learning.quiz_published.v1"


class QuizDeleted(QuizFact):
    """Trigger: a teacher deletes a quiz. Key: quiz. Consumers: analytics."""

    type = "learning.quiz_deleted.v1"


class QuizExtensionChanged(Event):
    """Trigger: a learner gets more time, more attempts or a later close in a quiz, or loses them (zeros: none
    are left, also when the learner is erased). Key: extension. Consumers: analytics."""

    type = "learning.quiz_extension_changed.v1"
    topic = "learning.events"
    key_field = "extension"

    extension: UUID
    quiz: UUID
    course: UUID
    student: UUID
    extra_seconds: Count
    extra_attempts: Count
    closes_at: Instant | None
    actor: UUID | None


class QuizExcused(Event):
    """Trigger: a teacher excuses a learner from a quiz, or takes that back. Key: extension.
    Consumers: analytics."""

    type = "learning.quiz_excused.v1"
    topic = "learning.events"
    key_field = "extension"

    extension: UUID
    quiz: UUID
    course: UUID
    student: UUID
    excused: bool
    actor: UUID | None


class QuestionBankFact(Event):
    """What every fact of a question bank says, as it stands afterwards."""

    topic = "learning.events"
    key_field = "bank"

    bank: UUID
    course: UUID
    title: str
    question_count: Count
    actor: UUID


class QuestionBankCreated(QuestionBankFact):
    """Trigger: a teacher makes a question bank. Key: bank. Consumers: analytics."""

    type = "learning.question_bank_created.v1"


class QuestionBankChanged(QuestionBankFact):
    """Trigger: a bank's title or its questions change. Key: bank. Consumers: analytics."""

    type = "learning.question_bank_changed.v1"


class QuestionBankDeleted(QuestionBankFact):
    """Trigger: a teacher deletes a question bank. Key: bank. Consumers: analytics."""

    type = "learning.question_bank_deleted.v1"
