"""Events of analytics: only what it answers to exports and erasures. Otherwise it only reads."""

from libs.common.events.privacy import Erased, PartFailed, PartPacked


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
