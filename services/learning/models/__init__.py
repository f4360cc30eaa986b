"""All tables, a module per noun: nearly all are read by several folders.

Columns that hold another aggregate's id carry its name (`course`, `student`, `quiz`), as in the events. Locks
are taken in the order course, quiz or assignment, enrolment, attempt or submission, certificate.
"""

from services.learning.models.assignments import Assignment, Submission, SubmissionFile, SubmissionVersion
from services.learning.models.base import Base
from services.learning.models.certificates import Certificate, CertificateTemplate
from services.learning.models.completion import CompletionCheck, CompletionRules
from services.learning.models.enrollments import ENROLLED, UNDERWAY, Enrollment
from services.learning.models.grades import GradeFact, GradeRecord, GradingPolicy, GradingPolicyVersion
from services.learning.models.lessons import LessonProgress, StudyClock, StudyDay
from services.learning.models.privacy import PrivacyPart
from services.learning.models.quizzes import (
    Attempt,
    AttemptQuestion,
    Question,
    QuestionBank,
    Quiz,
    QuizExtension,
    QuizResult,
)
from services.learning.models.replicas import Course, User

__all__ = [
    "ENROLLED",
    "UNDERWAY",
    "Assignment",
    "Attempt",
    "AttemptQuestion",
    "Base",
    "Certificate",
    "CertificateTemplate",
    "CompletionCheck",
    "CompletionRules",
    "Course",
    "Enrollment",
    "GradeFact",
    "GradeRecord",
    "GradingPolicy",
    "GradingPolicyVersion",
    "LessonProgress",
    "PrivacyPart",
    "Question",
    "QuestionBank",
    "Quiz",
    "QuizExtension",
    "QuizResult",
    "StudyClock",
    "StudyDay",
    "Submission",
    "SubmissionFile",
    "SubmissionVersion",
    "User",
]
