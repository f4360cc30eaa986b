"""Every router of the service, in the order in which they match."""

from services.learning.assignments.import_routes import router as grade_imports
from services.learning.assignments.routes import router as assignments
from services.learning.certificates.routes import router as certificates
from services.learning.certificates.template_routes import router as templates
from services.learning.completion.routes import router as completion
from services.learning.enrollments.routes import router as enrollments
from services.learning.gradebook.routes import router as gradebook
from services.learning.lessons.routes import router as lessons
from services.learning.quizzes.attempt_routes import router as attempts
from services.learning.quizzes.bank_routes import router as banks
from services.learning.quizzes.routes import router as quizzes
from services.learning.study.routes import router as study

ROUTERS = (
    enrollments,
    lessons,
    attempts,
    quizzes,
    banks,
    assignments,
    gradebook,
    grade_imports,
    completion,
    certificates,
    templates,
    study,
)
