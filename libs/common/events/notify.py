"""Events of notify: facts of delivery, and nothing more.

Notifications are notify's answer to other services' facts: whoever wants those subscribes to the facts
themselves, so notifications and their read marks publish nothing. What only notify knows is whether a mail
went out; operators audit that, and analytics counts it. The ledger mark "sending" is no version of its own.
"""

from uuid import UUID

from libs.common.events.base import Event
from libs.common.events.privacy import Erased, PartFailed, PartPacked


class MailFact(Event):
    """What every fact of a mail says; `kind` is the notification type, `source` the id of the event that
    caused the mail (null when none did)."""

    topic = "notify.events"
    key_field = "delivery"

    delivery: UUID
    recipient: UUID
    kind: str
    source: UUID | None


class MailQueued(MailFact):
    """Trigger: a mail is due, its delivery row is written. Key: delivery. Consumers: analytics."""

    type = "notify.mail_queued.v1"


class MailSent(MailFact):
    """Trigger: the mail server took the mail. Key: delivery. Consumers: analytics."""

    type = "notify.mail_sent.v1"


class MailFailed(MailFact):
    """Trigger: the mail cannot be delivered and will not be tried again; `reason` is a stable code.
    Key: delivery. Consumers: analytics."""

    type = "notify.mail_failed.v1"

    reason: str


class ExportPartPacked(PartPacked):
    """Trigger: what notify holds of a person lies packed for their export. Key: job.
    Consumers: analytics, identity."""

    type = "notify.export_part_packed.v1"
    topic = "notify.privacy.events"


class ExportPartFailed(PartFailed):
    """Trigger: notify could not pack its part of an export. Key: job. Consumers: analytics, identity."""

    type = "notify.export_part_failed.v1"
    topic = "notify.privacy.events"


class PersonErased(Erased):
    """Trigger: notify has erased a person. Key: job. Consumers: analytics, identity."""

    type = "notify.person_erased.v1"
    topic = "notify.privacy.events"
