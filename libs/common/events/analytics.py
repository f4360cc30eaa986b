"""Events of analytics: reports that go out, and what it answers to exports and erasures."""

from uuid import UUID

from libs.common.events.base import Event, Payload
from libs.common.events.fields import Instant, OpenName
from libs.common.events.privacy import Erased, PartFailed, PartPacked


class ReportRecipient(Payload):
    """Who gets a report. `letter` is the id of what lies in the exchange area of storage for their mail."""

    user: UUID
    letter: UUID


class ReportWritten(Event):
    """Trigger: the files of a report's run are written, and their mails are due; `recipients` are those who
    may see it on that day. Key: run. Consumers: analytics, notify."""

    type = "analytics.report_written.v1"
    topic = "analytics.events"
    key_field = "run"

    run: UUID
    report: UUID
    owner: UUID
    format: OpenName
    as_of: Instant
    recipients: tuple[ReportRecipient, ...]


class ExportPartPacked(PartPacked):
    """Trigger: what analytics holds of a person lies packed for their export. Key: job.
    Consumers: analytics, identity."""

    type = "analytics.export_part_packed.v1"
    topic = "analytics.privacy.events"


class ExportPartFailed(PartFailed):
    """Trigger: analytics could not pack its part of an export. Key: job. Consumers: analytics, identity."""

    type = "analytics.export_part_failed.v1"
    topic = "analytics.privacy.events"


class PersonErased(Erased):
    """Trigger: analytics has erased a person. Key: job. Consumers: analytics, identity."""

    type = "analytics.person_erased.v1"
    topic = "analytics.privacy.events"
