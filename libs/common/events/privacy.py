"""What every service says of its part of an export or an erasure; the classes with a type are its own.

Identity asks (`identity.export_requested.v1`, `identity.erasure_requested.v1`), each service answers once per
job, on a narrow topic of its own. What is in a part never travels here: it lies in the object storage.
"""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from libs.common.events.base import Event
from libs.common.events.fields import Count

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PartPath = Annotated[str, Field(pattern=r"^[0-9a-f-]{36}/[a-z]+-[0-9]+\.json$")]


class PrivacyFact(Event):
    """What every fact of a person's export or erasure says; `job` is the id that the person was given."""

    key_field = "job"

    job: UUID
    user: UUID


class PartPacked(PrivacyFact):
    """A service's part of an export lies under `object` in the storage's exchange area."""

    object: PartPath
    sha256: Sha256
    bytes: Count
    rows: Count
    files: Count


class PartFailed(PrivacyFact):
    """A service gives its part of an export up; `reason` is a stable code."""

    reason: str


class Erased(PrivacyFact):
    """A service holds nothing personal of somebody any more; `rows` is how many it deleted or changed."""

    rows: Count
