"""What reports say, in the languages that they speak: titles, and names of numbers."""

from pathlib import Path

from libs.common.runtime.mail_texts import N_, Translations

TRANSLATIONS = Translations(Path(__file__).parents[1] / "locale")
TITLES = (
    N_("Active"), N_("Active accounts"), N_("Active learners"), N_("Active learners of courses"),
    N_("Active people"), N_("Activities"), N_("Assignment"), N_("Assignment title"), N_("Attempts"),
    N_("Average grade"), N_("Average progress"), N_("Average score"), N_("By an instructor"),
    N_("Category"), N_("Category of the ticket"), N_("Certificate issued"), N_("Certificates"),
    N_("Completed"), N_("Completed enrolments"), N_("Completed lessons"), N_("Completed on"),
    N_("Completion rate"), N_("Completions"), N_("Course"), N_("Course created"), N_("Course published"),
    N_("Course status"), N_("Course title"), N_("Courses"), N_("Day of activity"), N_("Day of learning"),
    N_("Day of learning on the course"), N_("Day of study"), N_("Days of learning"),
    N_("Days of learning on courses"), N_("Days to complete"), N_("Difficulty"), N_("Discussion started"),
    N_("Discussions"), N_("Enrolled"), N_("Enrolments"), N_("Enrolments of every status"), N_("Excused"),
    N_("Grade posted"), N_("Graded answers"), N_("Graded submissions"), N_("Handed in"), N_("In the chat"),
    N_("Joined"), N_("Kind of activity"), N_("Kind of discussion"), N_("Kind of lesson"),
    N_("Kind of question"), N_("Kind of quiz"), N_("Last accessed"), N_("Late"), N_("Late share"),
    N_("Learners"), N_("Learners who reached a lesson"), N_("Learners who studied"),
    N_("Learners with a completed lesson"), N_("Learners with an attempt"), N_("Lesson"),
    N_("Lesson title"), N_("Lessons"), N_("Level"), N_("Minutes to the first response"),
    N_("Open questions"), N_("Open tickets"), N_("Pass rate"), N_("Passed"), N_("People"),
    N_("People who replied"), N_("Person"), N_("Place of the lesson"), N_("Plays"), N_("Posted"),
    N_("Priority"), N_("Progress band"), N_("Published courses"), N_("Question"), N_("Quiz"),
    N_("Quiz of the answer"), N_("Quiz title"), N_("Rating"), N_("Rating of support"),
    N_("Rating of the ticket"), N_("Reached lessons"), N_("Replies"), N_("Resolved"), N_("Reviews"),
    N_("Role"), N_("Solution"), N_("Started"), N_("Started an attempt"), N_("Status of the enrolment"),
    N_("Status of the ticket"), N_("Study minutes"), N_("Study seconds"), N_("Submissions"),
    N_("Submitted an attempt"), N_("Submitted attempts"), N_("Submitted work"), N_("Takes part"),
    N_("Ticket opened"), N_("Ticket resolved"), N_("Tickets"), N_("Time"), N_("Time of an attempt"),
    N_("Time zone"), N_("Upvotes"), N_("Viewers"),
)  # fmt: skip
"""Of measures and dimensions (metrics.yml)."""
CHARTS = (
    N_("Where the learners are"), N_("Lessons reached and completed"), N_("Activity by day"),
    N_("Questions: share of right answers"), N_("Growth by day"), N_("Enrolments by category"),
    N_("Minutes studied by day"), N_("Tickets by priority"), N_("Minutes studied"), N_("Quiz results"),
    N_("Progress by course"), N_("Performance"), N_("Enrolments and completions by day"),
)  # fmt: skip
"""Titles of the charts of dashboards."""
SERIES = (
    N_("Study minutes"), N_("Enrollments"), N_("Completions"), N_("Discussions"), N_("Replies"),
    N_("Learners"), N_("Reached"), N_("Completed"), N_("Difficulty"), N_("New users"), N_("Active users"),
    N_("Minutes"), N_("Open"), N_("Score"), N_("Progress"), N_("You"), N_("Average progress"),
    N_("Completion rate"),
)  # fmt: skip
"""Names of what charts draw."""
NAMES = {
    "not_started": N_("Not started"),
    "in_progress": N_("In progress"),
    "completed": N_("Completed"),
    "enrolled": N_("Enrolled"),
    "low": N_("Low"),
    "medium": N_("Medium"),
    "high": N_("High"),
    "urgent": N_("Urgent"),
    "quizzes": N_("Quizzes"),
    "assignments": N_("Assignments"),
    "participation": N_("Participation"),
    "completion": N_("Completion"),
    "consistency": N_("Consistency"),
    "Uncategorised": N_("Uncategorised"),
}
"""Values that are names of ours."""
FACTS = {
    "total_users": N_("People"),
    "active_users_7d": N_("Active people in seven days"),
    "total_courses": N_("Courses"),
    "published_courses": N_("Published courses"),
    "total_enrollments": N_("Enrolments"),
    "completions": N_("Completions"),
    "certificates": N_("Certificates"),
    "discussions": N_("Discussions"),
    "active_tickets": N_("Open tickets"),
    "total_students": N_("Learners"),
    "active_students_7d": N_("Active learners in seven days"),
    "avg_course_rating": N_("Rating"),
    "avg_progress": N_("Average progress"),
    "completion_rate": N_("Completion rate"),
    "completed_courses": N_("Completed courses"),
    "average_progress": N_("Average progress"),
    "learning_streak": N_("Learning streak in days"),
    "total_quizzes": N_("Quizzes"),
    "avg_quiz_score": N_("Average score"),
    "study_minutes_7d": N_("Study minutes in seven days"),
    "at_risk": N_("Learners at risk"),
}
"""Numbers of a dashboard's summary."""
COLUMNS = {
    "course_title": N_("Course"),
    "students": N_("Learners"),
    "avg_progress": N_("Average progress"),
    "completion_rate": N_("Completion rate"),
    "rating": N_("Rating"),
    "engagement_score": N_("Engagement"),
    "title": N_("Title"),
    "reached": N_("Reached"),
    "completed": N_("Completed"),
    "drop_off": N_("Drop-off"),
    "kind": N_("Kind"),
    "answers": N_("Answers"),
    "difficulty": N_("Difficulty"),
    "discrimination": N_("Discrimination"),
    "category": N_("Category"),
    "courses": N_("Courses"),
    "enrollments": N_("Enrolments"),
    "date": N_("Day"),
    "new_users": N_("New users"),
    "completions": N_("Completions"),
    "active_users": N_("Active users"),
    "priority": N_("Priority"),
    "open": N_("Open"),
    "tickets": N_("Tickets"),
    "progress": N_("Progress"),
    "status": N_("Status"),
    "completed_lessons": N_("Completed lessons"),
    "total_lessons": N_("Lessons"),
}
"""Columns of a dashboard's tables."""
NUMBERS = N_("Numbers")
AS_OF = N_("As of {moment} ({zone})")
PERIOD = N_("{first} to {last}")
MORE = N_("The first {count} rows of more.")
NOTHING = N_("There is nothing to show.")
YES = N_("yes")
NO = N_("no")
PREVIOUS = N_("before: {value}")
QUESTIONS = N_("Questions")
_KNOWN = {*TITLES, *CHARTS, *SERIES, *FACTS.values(), *COLUMNS.values(), *NAMES.values()}


def say(text: str, language: str) -> str:
    """One of our words in a language; what people wrote, and what is new, stays as it is."""
    text = NAMES.get(text, text)
    return TRANSLATIONS.translate(text, language) if text in _KNOWN else text


def phrase(text: str, language: str, **values: object) -> str:
    """A sentence of this page with its values."""
    return TRANSLATIONS.translate(text, language).format(**values)
