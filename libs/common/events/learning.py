"""Events of learning: enrolments, assignments, submissions, certificates; quizzes have a file of their own.

`local_date` is the learner's own day, so that streaks and study days need no time zone. Notes and
resume positions are rows without a version and publish nothing.
"""

from datetime import date
from uuid import UUID

from libs.common.events.base import Event, State
from libs.common.events.fields import Count, EnrollmentStatus, Grade, Instant, Percentage
from libs.common.events.privacy import Erased, PartFailed, PartPacked


class EnrollmentFact(Event):
    """What every fact of an enrolment says."""

    topic = "learning.events"
    key_field = "enrollment"

    enrollment: UUID
    course: UUID
    student: UUID


class StudentEnrolled(EnrollmentFact):
    """Trigger: a student gets a seat in a course. Key: enrollment. Consumers: analytics, notify."""

    type = "learning.student_enrolled.v1"


class StudentDropped(EnrollmentFact):
    """Trigger: a student leaves a course; what was learnt is kept. Key: enrollment.
    Consumers: analytics."""

    type = "learning.student_dropped.v1"

    progress_percentage: Percentage


class StudentReenrolled(EnrollmentFact):
    """Trigger: a student who left takes the course up again, where they left it. Key: enrollment.
    Consumers: analytics, notify."""

    type = "learning.student_reenrolled.v1"

    progress_percentage: Percentage


class WaitlistJoined(EnrollmentFact):
    """Trigger: a student waits for a seat in a full course. Key: enrollment. Consumers: analytics."""

    type = "learning.waitlist_joined.v1"


class WaitlistLeft(EnrollmentFact):
    """Trigger: a student waits no longer, without a seat; the state of who never had one gets a tombstone.
    Key: enrollment. Consumers: analytics."""

    type = "learning.waitlist_left.v1"


class LessonCompleted(EnrollmentFact):
    """Trigger: a lesson is completed, by the learner or by its quiz or assignment; counts are of the
    published revision. Key: enrollment. Consumers: analytics."""

    type = "learning.lesson_completed.v1"

    lesson: UUID
    progress_percentage: Percentage
    completed_lessons: Count
    total_lessons: Count
    local_date: date


class ProgressRecalculated(EnrollmentFact):
    """Trigger: the course's new revision changes the progress of a learner underway. Key: enrollment.
    Consumers: analytics."""

    type = "learning.progress_recalculated.v1"

    revision: Count
    progress_percentage: Percentage
    completed_lessons: Count
    total_lessons: Count


class StudyTimeRecorded(EnrollmentFact):
    """Trigger: a heartbeat adds study time, idle-capped, to a lesson; `position` is where its video or audio
    is by now, in seconds from its beginning. Key: enrollment. Consumers: analytics."""

    type = "learning.study_time_recorded.v1"

    lesson: UUID
    seconds: Count
    local_date: date
    position: Count | None = None


class CourseCompleted(EnrollmentFact):
    """Trigger: a learner meets the course's completion rules. Key: enrollment. Consumers: analytics."""

    type = "learning.course_completed.v1"

    revision: Count
    final_score: Grade | None


class AssignmentFact(Event):
    """What every fact of an assignment says, as it stands afterwards."""

    topic = "learning.events"
    key_field = "assignment"

    assignment: UUID
    course: UUID
    lesson: UUID | None
    title: str
    points: Grade
    due_at: Instant | None
    closes_at: Instant | None
    actor: UUID | None


class AssignmentCreated(AssignmentFact):
    """Trigger: a teacher sets an assignment. Key: assignment. Consumers: analytics."""

    type = "learning.assignment_created.v1"


class AssignmentChanged(AssignmentFact):
    """Trigger: an assignment's text, points, dates or rules change. Key: assignment.
    Consumers: analytics."""

    type = "learning.assignment_changed.v1"


class AssignmentDeleted(AssignmentFact):
    """Trigger: a teacher deletes an assignment. Key: assignment. Consumers: analytics."""

    type = "learning.assignment_deleted.v1"


class SubmissionFact(Event):
    """What every fact of a submission says; `title` is the assignment's."""

    topic = "learning.events"
    key_field = "submission"

    submission: UUID
    assignment: UUID
    title: str
    course: UUID
    lesson: UUID | None
    enrollment: UUID
    student: UUID


class AssignmentSubmitted(SubmissionFact):
    """Trigger: a learner hands in work, or a newer `version` of it (from 1). Key: submission.
    Consumers: analytics."""

    type = "learning.assignment_submitted.v1"

    version: Count
    late_seconds: Count
    local_date: date


class SubmissionGraded(SubmissionFact):
    """Trigger: a teacher grades, regrades or excuses a submission (`score` and `percentage` null if excused),
    or shows or hides its assignment's grades. `posted`: the learner may see it by now. Key: submission.
    Consumers: analytics, notify."""

    type = "learning.submission_graded.v1"

    score: Grade | None
    points: Grade
    percentage: Grade | None
    excused: bool
    posted: bool
    actor: UUID


class SubmissionRedacted(SubmissionFact):
    """Trigger: the learner is erased, and with them texts, files and feedback; the grade stays.
    Key: submission. Consumers: analytics."""

    type = "learning.submission_redacted.v1"


class GradingPolicyChanged(Event):
    """Trigger: a teacher saves how the grades of a course come about; `number` counts the versions.
    Key: policy. Consumers: analytics."""

    type = "learning.grading_policy_changed.v1"
    topic = "learning.events"
    key_field = "policy"

    policy: UUID
    course: UUID
    number: Count
    actor: UUID


class CompletionRulesChanged(Event):
    """Trigger: a teacher saves when the course counts as completed; `number` counts the versions. Key: rules.
    Consumers: analytics."""

    type = "learning.completion_rules_changed.v1"
    topic = "learning.events"
    key_field = "rules"

    rules: UUID
    course: UUID
    number: Count
    actor: UUID


class CertificateFact(Event):
    """What every fact of a certificate says."""

    topic = "learning.events"
    key_field = "certificate"

    certificate: UUID
    number: str
    enrollment: UUID
    course: UUID
    student: UUID


class CertificateRequested(CertificateFact):
    """Trigger: a course is completed, or its certificate is reissued, and waits to be made. Key: certificate.
    Consumers: analytics."""

    type = "learning.certificate_requested.v1"

    replaces: UUID | None = None


class CertificateIssued(CertificateFact):
    """Trigger: the certificate's PDF is stored and can be downloaded. Key: certificate.
    Consumers: analytics, notify."""

    type = "learning.certificate_issued.v1"


class CertificateRevoked(CertificateFact):
    """Trigger: staff revoke a certificate. Key: certificate. Consumers: analytics, notify."""

    type = "learning.certificate_revoked.v1"

    actor: UUID


class CertificateSuperseded(CertificateFact):
    """Trigger: its learner or staff have a certificate reissued: `replaced_by` is the new one.
    Key: certificate. Consumers: analytics."""

    type = "learning.certificate_superseded.v1"

    replaced_by: UUID
    actor: UUID


class CertificateTemplateChanged(Event):
    """Trigger: a teacher changes how a course's certificates look; `changed` names the fields.
    Key: template. Consumers: analytics."""

    type = "learning.certificate_template_changed.v1"
    topic = "learning.events"
    key_field = "template"

    template: UUID
    course: UUID
    changed: tuple[str, ...]
    actor: UUID


class EnrollmentState(State):
    """Trigger: every version of an enrolment; a tombstone deletes it. Study time and points are sums over its
    lessons. Key: uuid. Consumers: analytics, catalog, forum, identity, support."""

    type = "learning.enrollment.v1"
    topic = "learning.enrollments"
    key_field = "uuid"

    uuid: UUID
    course: UUID
    student: UUID
    status: EnrollmentStatus
    progress_percentage: Percentage
    completed_lessons: tuple[UUID, ...]
    enrolled_at: Instant
    started_at: Instant | None
    completed_at: Instant | None
    last_accessed: Instant | None
    study_seconds: Count = 0
    points: Count = 0


class ExportPartPacked(PartPacked):
    """Trigger: what learning holds of a person lies packed for their export. Key: job.
    Consumers: analytics, identity."""

    type = "learning.export_part_packed.v1"
    topic = "learning.privacy.events"


class ExportPartFailed(PartFailed):
    """Trigger: learning could not pack its part of an export. Key: job. Consumers: analytics, identity."""

    type = "learning.export_part_failed.v1"
    topic = "learning.privacy.events"


class PersonErased(Erased):
    """Trigger: learning has erased a person. Key: job. Consumers: analytics, identity."""

    type = "learning.person_erased.v1"
    topic = "learning.privacy.events"
